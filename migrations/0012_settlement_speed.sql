-- The same settlement from balance, at a fraction of its cost. What cost most, as a profile showed it:
--   * planning: with arrays as parameters Postgres plans each statement anew, which takes longer than to carry it out;
--   * messages: SQL functions that are declared more stable than what they call are never inlined;
--   * joins of arrays with what was just written, which grow with the square of the batch.

-- Text is read back as it was written; nothing here looks into it before that.
alter table outbox alter column message type json using message::json;
-- One index, in the order in which a batch is read.
alter table outbox drop constraint outbox_pkey, add primary key (batch_id, id);
drop index outbox_by_batch;

create or replace function unix_seconds(at timestamptz) returns bigint language sql stable as $$
    select floor(extract(epoch from at))::bigint
$$;

-- The balance envelope of the console contract, with its stream position.
create function balance_event(id bigint, previous bigint, trace_id text, user_id uuid, delta_micro bigint,
    balance_micro bigint, invoice_id text, at timestamptz)
returns json language sql stable as $$
    select json_build_object(
        'kind', case when delta_micro < 0 then 'balance_debit' else 'balance_credit' end,
        'position', id, 'previous', previous, 'trace_id', trace_id,
        'data', case when invoice_id is null then json_build_object(
            'kind', case when delta_micro < 0 then 'balance_debit' else 'balance_credit' end,
            'user_id', user_id, 'delta_micro', delta_micro, 'new_balance', balance_micro, 'at', unix_seconds(at))
        else json_build_object(
            'kind', case when delta_micro < 0 then 'balance_debit' else 'balance_credit' end,
            'user_id', user_id, 'delta_micro', delta_micro, 'new_balance', balance_micro, 'at', unix_seconds(at),
            'ref_invoice_id', invoice_id) end)
$$;

-- The invoice envelope of the console contract (nothing received is left out), with its stream position.
create function invoice_event(kind text, id text, version bigint, trace_id text, user_id uuid, status text,
    amount_micro bigint, received_micro bigint, at timestamptz)
returns json language sql stable as $$
    select json_build_object(
        'kind', kind, 'position', version, 'previous', version - 1, 'trace_id', trace_id,
        'data', case when received_micro = 0 then json_build_object(
            'kind', kind, 'invoice_id', id, 'user_id', user_id, 'status', status, 'amount_micro', amount_micro,
            'at', unix_seconds(at))
        else json_build_object(
            'kind', kind, 'invoice_id', id, 'user_id', user_id, 'status', status, 'amount_micro', amount_micro,
            'payments_received_micro', received_micro, 'at', unix_seconds(at)) end)
$$;

create or replace function balance_message(t transfers, previous bigint, trace_id text)
returns jsonb language sql stable as $$
    select balance_event(t.id, previous, trace_id, t.user_id, user_delta_micro(t), t.user_balance_after,
                         t.ref_invoice_id, t.at)::jsonb
$$;

create or replace function invoice_message(i invoices, kind text, trace_id text, at timestamptz)
returns jsonb language sql stable as $$
    select invoice_event(kind, i.id, i.version, trace_id, i.user_id, i.status, i.amount_micro,
                         i.payments_received_micro, at)::jsonb
$$;

-- Applies the actions of purchases that were just paid, some at once. Not as an SQL function: Postgres plans those anew
-- in each transaction.
create function activate_subscriptions(p_users uuid[], p_plans text[], p_months integer[], p_at timestamptz)
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

create or replace function activate_subscription(p_user uuid, p_plan text, p_months integer, p_at timestamptz)
returns void language sql as $$
    select activate_subscriptions(array[p_user], array[p_plan], array[p_months], p_at)
$$;

-- What becomes of a request to pay an invoice from a balance (console contract §4.6), in the order of the checks.
create function pay_outcome(i invoices, payer uuid, locked_at timestamptz, balance_micro bigint, at timestamptz)
returns text language sql stable as $$
    select case
        when i.id is null then 'invoice_not_found'
        when i.user_id <> payer then 'not_owner'
        when i.status = 'paid' then 'already_paid'
        when effective_status(i, at) <> 'pending' then 'invoice_not_pending'
        when i.action = 'topup' then 'invoice_is_topup'
        when locked_at is not null then 'balance_locked'
        when balance_micro < i.amount_micro then 'insufficient_balance'
        else 'paid'
    end
$$;

-- Settles one invoice: the same as a batch of one, without what only a batch needs.
create function settle_one_from_balance(p_invoice text, p_user uuid, p_trace text,
    out outcome text, out balance_micro bigint, out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoice invoices;
    v_balance balances;
    v_at      timestamptz;
    v_id      bigint;
begin
    select * into v_invoice from invoices i where i.id = p_invoice for update;
    select * into v_balance from balances b where b.user_id = p_user for update;
    -- Read after the locks: waiting for them must not let an expired invoice through.
    v_at := clock_timestamp();
    -- No balance row, no money.
    balance_micro := coalesce(v_balance.amount_micro, 0);
    outcome := pay_outcome(v_invoice, p_user, v_balance.locked_at, balance_micro, v_at);
    if outcome <> 'paid' then
        return;
    end if;

    balance_micro := balance_micro - v_invoice.amount_micro;
    insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                           user_balance_after, at)
    values ('user:' || p_user::text, 'revenue', v_invoice.amount_micro, 'invoice_debit', p_invoice, p_user,
            balance_micro, v_at)
    returning id into v_id;
    update invoices i set status = 'paid', paid_at = v_at, processed_at = v_at, version = i.version + 1
    where i.id = p_invoice;
    perform activate_subscriptions(array[p_user], array[v_invoice.plan], array[v_invoice.months::integer], v_at);
    update balances b set amount_micro = balance_micro, last_transfer_id = v_id, updated_at = v_at
    where b.user_id = p_user;

    topics := array['balance:' || p_user::text, 'invoice:' || p_invoice];
    messages := array[
        balance_event(v_id, v_balance.last_transfer_id, p_trace, p_user, -v_invoice.amount_micro, balance_micro,
                      p_invoice, v_at)::text,
        invoice_event('invoice_paid', p_invoice, v_invoice.version + 1, p_trace, p_user, 'paid',
                      v_invoice.amount_micro, v_invoice.payments_received_micro, v_at)::text];
    insert into outbox_batches default values returning id into batch_id;
    insert into outbox (batch_id, topic, message)
    values (batch_id, topics[1], messages[1]::json), (batch_id, topics[2], messages[2]::json);
end
$$;

-- Settles invoices from their payers' balances: each request exact and in array order, as if they came one by one.
-- The (invoice, user) pairs must be distinct. The answer is one row: outcomes and balances by request,
-- and the events to publish now that the transaction is about to commit.
create or replace function settle_from_balance(
    p_invoices text[], p_users uuid[], p_traces text[],
    out outcomes text[], out balances_micro bigint[],
    out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    r           record;
    v_at        timestamptz;
    v_user      uuid;
    v_balance   bigint;
    v_last      bigint;
    v_outcome   text;
    v_id        bigint;
    -- What is posted: one element for each payment.
    n_transfers bigint[] := '{}';
    n_previous  bigint[] := '{}';
    n_invoices  text[] := '{}';
    n_versions  bigint[] := '{}';
    n_received  bigint[] := '{}';
    n_users     uuid[] := '{}';
    n_amounts   bigint[] := '{}';
    n_after     bigint[] := '{}';
    n_plans     text[] := '{}';
    n_months    integer[] := '{}';
    n_traces    text[] := '{}';
begin
    outcomes := array_fill(null::text, array[cardinality(p_invoices)]);
    balances_micro := array_fill(null::bigint, array[cardinality(p_invoices)]);

    perform from invoices i where i.id = any (p_invoices) order by i.id for update;
    perform from balances b where b.user_id = any (p_users) order by b.user_id for update;
    -- Read after the locks: waiting for them must not let an expired invoice through.
    v_at := clock_timestamp();

    -- Decide. One pass in (user, request) order carries each user's running balance.
    for r in
        select q.ord, q.user_id, q.trace, i as invoice, b.amount_micro as balance, b.locked_at, b.last_transfer_id
        from unnest(p_invoices, p_users, p_traces) with ordinality as q (invoice_id, user_id, trace, ord)
        left join invoices i on i.id = q.invoice_id
        left join balances b on b.user_id = q.user_id
        order by q.user_id, q.ord
    loop
        if v_user is distinct from r.user_id then
            v_user := r.user_id;
            -- No balance row, no money.
            v_balance := coalesce(r.balance, 0);
            v_last := r.last_transfer_id;
        end if;
        v_outcome := pay_outcome(r.invoice, r.user_id, r.locked_at, v_balance, v_at);
        if v_outcome = 'paid' then
            v_balance := v_balance - (r.invoice).amount_micro;
            v_id := nextval('transfers_id_seq');
            n_transfers := n_transfers || v_id;
            n_previous := n_previous || v_last;
            n_invoices := n_invoices || (r.invoice).id;
            n_versions := n_versions || (r.invoice).version;
            n_received := n_received || (r.invoice).payments_received_micro;
            n_users := n_users || r.user_id;
            n_amounts := n_amounts || (r.invoice).amount_micro;
            n_after := n_after || v_balance;
            n_plans := n_plans || (r.invoice).plan;
            n_months := n_months || (r.invoice).months::integer;
            n_traces := n_traces || r.trace;
            v_last := v_id;
        end if;
        outcomes[r.ord] := v_outcome;
        balances_micro[r.ord] := v_balance;
    end loop;

    if cardinality(n_transfers) = 0 then
        return;
    end if;

    insert into transfers (id, debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                           user_balance_after, at)
    select n.id, 'user:' || n.user_id::text, 'revenue', n.amount_micro, 'invoice_debit', n.invoice_id, n.user_id,
           n.balance_after, v_at
    from unnest(n_transfers, n_users, n_amounts, n_invoices, n_after)
         as n (id, user_id, amount_micro, invoice_id, balance_after);

    update invoices i set status = 'paid', paid_at = v_at, processed_at = v_at, version = i.version + 1
    from unnest(n_invoices) as n (id)
    where i.id = n.id;

    perform activate_subscriptions(n_users, n_plans, n_months, v_at);

    update balances b set amount_micro = n.balance_after, last_transfer_id = n.id, updated_at = v_at
    from (select distinct on (m.user_id) m.user_id, m.id, m.balance_after
          from unnest(n_users, n_transfers, n_after) as m (user_id, id, balance_after)
          order by m.user_id, m.id desc) as n
    where b.user_id = n.user_id;

    select array_agg('balance:' || n.user_id::text),
           array_agg(balance_event(n.id, n.previous, n.trace, n.user_id, -n.amount_micro, n.balance_after,
                                   n.invoice_id, v_at)::text)
    into topics, messages
    from unnest(n_transfers, n_previous, n_traces, n_users, n_amounts, n_after, n_invoices)
         as n (id, previous, trace, user_id, amount_micro, balance_after, invoice_id);
    select topics || array_agg('invoice:' || n.id),
           messages || array_agg(invoice_event('invoice_paid', n.id, n.version + 1, n.trace, n.user_id, 'paid',
                                               n.amount_micro, n.received_micro, v_at)::text)
    into topics, messages
    from unnest(n_invoices, n_versions, n_traces, n_users, n_amounts, n_received)
         as n (id, version, trace, user_id, amount_micro, received_micro);
    insert into outbox_batches default values returning id into batch_id;
    insert into outbox (batch_id, topic, message)
    select settle_from_balance.batch_id, e.topic, e.message::json from unnest(topics, messages) as e (topic, message);
end
$$;

revoke execute on function
    balance_event(bigint, bigint, text, uuid, bigint, bigint, text, timestamptz),
    invoice_event(text, text, bigint, text, uuid, text, bigint, bigint, timestamptz),
    activate_subscriptions(uuid[], text[], integer[], timestamptz),
    pay_outcome(invoices, uuid, timestamptz, bigint, timestamptz),
    settle_one_from_balance(text, uuid, text)
    from public;
-- What the message functions are made of: callers need both.
grant execute on function
    balance_event(bigint, bigint, text, uuid, bigint, bigint, text, timestamptz),
    invoice_event(text, text, bigint, text, uuid, text, bigint, bigint, timestamptz)
    to quittance_api, quittance_worker, quittance_watcher;
grant execute on function settle_one_from_balance(text, uuid, text) to quittance_worker;
