-- What holds for an invoice, what it tells, and its end by its owner.

-- An invoice's end comes at its grace's end at the latest; until then it may still turn out to have been paid in time.
create or replace function effective_status(i invoices, at timestamptz) returns text language sql immutable as $$
    select case when i.status = 'pending' and i.grace_until <= at and not i.payment_confirming then 'expired'
                else i.status end
$$;

-- What holds for every invoice: one check, by a function that stays compiled.
create or replace function invoice_is_sound(i invoices) returns boolean language plpgsql immutable as $$
begin
    return (
        i.id ~ '^inv_[0-9a-f]{16}$'
        and i.amount_micro between 1 and 9007199254740991
        and i.payments_received_micro >= 0
        and i.channel in ('crypto-onchain', 'crypto-inapp')
        and i.rail in (
            'sol-native', 'sol-spl-usdc', 'sol-spl-usdt', 'tron-usdt', 'tron-usdc', 'eth-usdt', 'eth-usdc',
            'bsc-usdt', 'bsc-usdc', 'polygon-usdc', 'polygon-usdt')
        -- What is bought is complete, and a top-up buys nothing.
        and case
            when i.action = 'topup' then i.plan is null and i.months is null
            else i.action in ('subscription_purchase', 'subscription_renew')
                 and i.plan in ('starter', 'growth', 'scale') and i.months in (1, 3, 6, 12)
        end
        and (i.fx_micro_per_token is null or i.fx_micro_per_token > 0)
        and i.expires_at > i.created_at and i.grace_until >= i.expires_at and isfinite(i.grace_until)
        -- What is paid says when.
        and i.status in ('pending', 'paid', 'expired', 'cancelled')
        and (i.status = 'paid') = (i.paid_at is not null)
        and (i.status = 'paid') = (i.processed_at is not null)
        and (i.client_request_id is null) = (i.client_request_hash is null)
    ) is true;
end
$$;

-- What has ended stays as it ended.
create or replace function refuse_leaving_terminal() returns trigger language plpgsql as $$
begin
    raise exception 'invoice % is % and stays so', old.id, old.status using errcode = 'restrict_violation';
end
$$;

create or replace trigger invoices_terminal before update on invoices
    for each row when (old.status <> 'pending' and new.status is distinct from old.status)
    execute function refuse_leaving_terminal();

-- The invoice envelope of the console contract (nothing received is left out), with its stream position.
create or replace function invoice_event(kind text, id text, version bigint, trace_id text, user_id uuid, status text,
    amount_micro bigint, received_micro bigint, at timestamptz)
returns text language sql stable as $$
    select '{"kind":"' || kind || '","position":' || version::text || ',"previous":' || (version - 1)::text
        || ',"trace_id":' || coalesce(to_json(trace_id)::text, 'null')
        || ',"data":{"kind":"' || kind || '","invoice_id":"' || id || '","user_id":"' || user_id::text
        || '","status":"' || status || '","amount_micro":' || amount_micro::text
        || case when received_micro = 0 then '' else ',"payments_received_micro":' || received_micro::text end
        || ',"at":' || unix_seconds(at)::text || '}}'
$$;

-- The same of a row.
create or replace function invoice_message(i invoices, kind text, trace_id text, at timestamptz)
returns jsonb language sql stable as $$
    select invoice_event(kind, i.id, i.version, trace_id, i.user_id, i.status, i.amount_micro,
                         i.payments_received_micro, at)::jsonb
$$;

-- Applies the actions of purchases that were just paid, some at once. Not as an SQL function: Postgres plans those anew
-- in each transaction.
create or replace function activate_subscriptions(p_users uuid[], p_plans text[], p_months integer[], p_at timestamptz)
returns void language plpgsql set plan_cache_mode = force_generic_plan as $$
begin
    insert into subscriptions as s (user_id, plan, anchor_at, months_total, months_purchased, active_until, updated_at)
    select n.user_id, n.plan, p_at, sum(n.months), sum(n.months),
           p_at + make_interval(months => sum(n.months)::integer), p_at
    from unnest(p_users, p_plans, p_months) as n (user_id, plan, months)
    group by n.user_id, n.plan
    order by n.user_id, n.plan
    on conflict (user_id, plan) do update set
        anchor_at = case when s.active_until >= p_at then s.anchor_at else p_at end,
        months_total = case when s.active_until >= p_at then s.months_total else 0 end + excluded.months_total,
        months_purchased = s.months_purchased + excluded.months_purchased,
        active_until = case when s.active_until >= p_at then s.anchor_at else p_at end
            + make_interval(months => case when s.active_until >= p_at then s.months_total else 0 end
                                      + excluded.months_total),
        updated_at = p_at;
end
$$;

-- The owner cancels a pending invoice; false when there is no such pending invoice of this user.
create or replace function cancel_invoice(p_invoice text, p_user uuid, p_trace text,
    out cancelled boolean, out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoice invoices;
    v_at      timestamptz;
begin
    perform from invoices i where i.id = p_invoice for update;
    v_at := clock_timestamp();
    update invoices i set status = 'cancelled', version = i.version + 1
    where i.id = p_invoice and i.user_id = p_user and effective_status(i, v_at) = 'pending'
    returning i.* into v_invoice;
    cancelled := found;
    if cancelled then
        select e.* into batch_id, topics, messages
        from emit_events(array['invoice:' || v_invoice.id],
                         array[invoice_message(v_invoice, 'invoice_cancelled', p_trace, v_at)]) as e;
    end if;
end
$$;

revoke execute on function
    effective_status(invoices, timestamptz), invoice_is_sound(invoices), refuse_leaving_terminal(),
    invoice_event(text, text, bigint, text, uuid, text, bigint, bigint, timestamptz),
    invoice_message(invoices, text, text, timestamptz), activate_subscriptions(uuid[], text[], integer[], timestamptz),
    cancel_invoice(text, uuid, text)
    from public;

grant execute on function
    effective_status(invoices, timestamptz),
    invoice_event(text, text, bigint, text, uuid, text, bigint, bigint, timestamptz),
    invoice_message(invoices, text, text, timestamptz)
    to quittance_api, quittance_watcher, quittance_worker;

grant execute on function
    invoice_is_sound(invoices), cancel_invoice(text, uuid, text)
    to quittance_api;
