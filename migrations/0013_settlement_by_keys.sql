-- Settlement from balance, cheaper again. What a profile showed to cost most, and what is done about it:
--   * two dozen checks, which Postgres reads and compiles anew for each statement that writes: one per table, kept compiled;
--   * plans that read whole tables while these are small: settlement goes by keys, whatever the statistics say;
--   * one row per event, with an index entry: one row per transaction;
--   * events built by json functions, which look up the types of their arguments at each call: text is put together;
--   * invoices that find no room on their page when they are paid, and so renew all their index entries.

-- An invoice is written once and changed once or twice.
alter table invoices set (fillfactor = 50);

-- What holds for every invoice. A condition that is unknown is one that does not hold.
create function invoice_is_sound(i invoices) returns boolean language plpgsql immutable as $$
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
        and i.expires_at > i.created_at and isfinite(i.expires_at)
        -- What is paid says when.
        and i.status in ('pending', 'paid', 'expired', 'cancelled')
        and (i.status = 'paid') = (i.paid_at is not null)
        and (i.status = 'paid') = (i.processed_at is not null)
        and (i.client_request_id is null) = (i.client_request_hash is null)
    ) is true;
end
$$;
alter table invoices
    drop constraint invoices_id_form, drop constraint invoices_status_known, drop constraint invoices_amount_bounds,
    drop constraint invoices_received_not_negative, drop constraint invoices_channel_known,
    drop constraint invoices_rail_known, drop constraint invoices_action_known, drop constraint invoices_plan_known,
    drop constraint invoices_fx_positive, drop constraint invoices_expiry_after_creation,
    drop constraint invoices_action_complete, drop constraint invoices_paid_has_times,
    drop constraint invoices_request_hashed,
    add constraint invoices_sound check (invoice_is_sound(invoices));

-- What holds for every transfer.
create function transfer_is_sound(t transfers) returns boolean language plpgsql immutable as $$
begin
    return (
        t.amount_micro > 0
        and t.debit_account <> t.credit_account
        -- The user whose balance moved is one of the two sides.
        and (t.user_id is null) = (t.user_balance_after is null)
        and (t.user_id is null
             or t.user_balance_after >= 0 and 'user:' || t.user_id::text in (t.debit_account, t.credit_account))
        -- Which accounts a kind moves money between, and in which direction.
        and case t.kind
            when 'invoice_debit' then starts_with(t.debit_account, 'user:') and t.credit_account = 'revenue'
                                      and t.user_id is not null and t.ref_invoice_id is not null
            when 'invoice_payment' then starts_with(t.debit_account, 'treasury:') and t.credit_account = 'revenue'
                                        and t.user_id is null and t.ref_invoice_id is not null
                                        and t.ref_payment_id is not null
            when 'payment_credit' then starts_with(t.debit_account, 'treasury:')
                                       and starts_with(t.credit_account, 'user:') and t.user_id is not null
                                       and t.ref_payment_id is not null
            when 'adjust' then 'adjustments' in (t.debit_account, t.credit_account) and t.user_id is not null
            when 'refund' then starts_with(t.credit_account, 'user:') and t.user_id is not null
        end
    ) is true;
end
$$;
alter table transfers
    drop constraint transfers_amount_positive, drop constraint transfers_kind_known,
    drop constraint transfers_balance_not_negative, drop constraint transfers_accounts_differ,
    drop constraint transfers_kind_fits_accounts, drop constraint transfers_user_is_a_side,
    add constraint transfers_sound check (transfer_is_sound(transfers));

-- Events: one row per transaction, in the order in which they happened; not compressed, which takes longer than to write.
alter table outbox_batches add topics text[] not null default '{}', add messages text[] not null default '{}';
alter table outbox_batches alter topics set storage external, alter messages set storage external;
update outbox_batches b set topics = e.topics, messages = e.messages
from (select o.batch_id, array_agg(o.topic order by o.id) as topics, array_agg(o.message::text order by o.id) as messages
      from outbox o group by o.batch_id) as e
where e.batch_id = b.id;
alter table outbox_batches alter topics drop default, alter messages drop default,
    add constraint outbox_batches_complete check (cardinality(topics) = cardinality(messages));
drop table outbox;
-- One row per event, to look into them.
create view outbox as
    select b.id as batch_id, e.id::integer as id, e.topic, e.message::json as message
    from outbox_batches b, unnest(b.topics, b.messages) with ordinality as e (topic, message, id);
grant select on outbox to quittance_api, quittance_worker, quittance_watcher;

-- Keeps the events of a transaction; returns their batch.
create function keep_events(p_topics text[], p_messages text[]) returns bigint language plpgsql as $$
declare
    v_batch bigint;
begin
    insert into outbox_batches (topics, messages) values (p_topics, p_messages) returning id into v_batch;
    return v_batch;
end
$$;

create or replace function emit_events(p_topics text[], p_messages jsonb[],
    out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if cardinality(p_topics) = 0 then
        return;
    end if;
    topics := p_topics;
    messages := p_messages::text[];
    batch_id := keep_events(topics, messages);
end
$$;

drop function unpublished_events(interval, integer);
-- Batches whose publisher died before or after publishing them, oldest first.
create function unpublished_events(p_older_than interval, p_limit integer)
returns table (batch_id bigint, topics text[], messages text[])
language sql stable security definer set search_path = public, pg_temp as $$
    select o.id, o.topics, o.messages from outbox_batches o
    where o.published_at is null and o.created_at < now() - p_older_than
    order by o.id limit p_limit
$$;

create or replace function retire_events(p_before timestamptz, p_limit integer) returns bigint
language sql security definer set search_path = public, pg_temp as $$
    with old as (
        select id from outbox_batches where published_at is not null and created_at < p_before
        order by id limit p_limit for update skip locked
    ), gone as (
        delete from outbox_batches b using old where b.id = old.id returning b.id
    )
    select count(*) from gone
$$;

-- The balance envelope of the console contract, with its stream position.
drop function balance_event(bigint, bigint, text, uuid, bigint, bigint, text, timestamptz);
create function balance_event(id bigint, previous bigint, trace_id text, user_id uuid, delta_micro bigint,
    balance_micro bigint, invoice_id text, at timestamptz)
returns text language sql stable as $$
    select '{"kind":"' || case when delta_micro < 0 then 'balance_debit' else 'balance_credit' end
        || '","position":' || id::text || ',"previous":' || previous::text
        || ',"trace_id":' || coalesce(to_json(trace_id)::text, 'null')
        || ',"data":{"kind":"' || case when delta_micro < 0 then 'balance_debit' else 'balance_credit' end
        || '","user_id":"' || user_id::text || '","delta_micro":' || delta_micro::text
        || ',"new_balance":' || balance_micro::text || ',"at":' || unix_seconds(at)::text
        || case when invoice_id is null then '' else ',"ref_invoice_id":"' || invoice_id || '"' end
        || '}}'
$$;

-- The invoice envelope of the console contract (nothing received is left out), with its stream position.
drop function invoice_event(text, text, bigint, text, uuid, text, bigint, bigint, timestamptz);
create function invoice_event(kind text, id text, version bigint, trace_id text, user_id uuid, status text,
    amount_micro bigint, received_micro bigint, at timestamptz)
returns text language sql stable as $$
    select '{"kind":"' || kind || '","position":' || version::text || ',"previous":' || (version - 1)::text
        || ',"trace_id":' || coalesce(to_json(trace_id)::text, 'null')
        || ',"data":{"kind":"' || kind || '","invoice_id":"' || id || '","user_id":"' || user_id::text
        || '","status":"' || status || '","amount_micro":' || amount_micro::text
        || case when received_micro = 0 then '' else ',"payments_received_micro":' || received_micro::text end
        || ',"at":' || unix_seconds(at)::text || '}}'
$$;

-- Settles one invoice: the same as a batch of one, without what only a batch needs.
create or replace function settle_one_from_balance(p_invoice text, p_user uuid, p_trace text,
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
                      p_invoice, v_at),
        invoice_event('invoice_paid', p_invoice, v_invoice.version + 1, p_trace, p_user, 'paid',
                      v_invoice.amount_micro, v_invoice.payments_received_micro, v_at)];
    batch_id := keep_events(topics, messages);
end
$$;

-- Settles invoices from their payers' balances: each request exact and in array order, as if they came one by one.
-- The (invoice, user) pairs must be distinct. The answer is one row: outcomes and balances by request,
-- and the events to publish now that the transaction is about to commit.
create or replace function settle_from_balance(
    p_invoices text[], p_users uuid[], p_traces text[],
    out outcomes text[], out balances_micro bigint[],
    out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
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
                                   n.invoice_id, v_at))
    into topics, messages
    from unnest(n_transfers, n_previous, n_traces, n_users, n_amounts, n_after, n_invoices)
         as n (id, previous, trace, user_id, amount_micro, balance_after, invoice_id);
    select topics || array_agg('invoice:' || n.id),
           messages || array_agg(invoice_event('invoice_paid', n.id, n.version + 1, n.trace, n.user_id, 'paid',
                                               n.amount_micro, n.received_micro, v_at))
    into topics, messages
    from unnest(n_invoices, n_versions, n_traces, n_users, n_amounts, n_received)
         as n (id, version, trace, user_id, amount_micro, received_micro);
    batch_id := keep_events(topics, messages);
end
$$;

revoke execute on function
    invoice_is_sound(invoices), transfer_is_sound(transfers), keep_events(text[], text[]),
    unpublished_events(interval, integer),
    balance_event(bigint, bigint, text, uuid, bigint, bigint, text, timestamptz),
    invoice_event(text, text, bigint, text, uuid, text, bigint, bigint, timestamptz)
    from public;
grant execute on function
    balance_event(bigint, bigint, text, uuid, bigint, bigint, text, timestamptz),
    invoice_event(text, text, bigint, text, uuid, text, bigint, bigint, timestamptz)
    to quittance_api, quittance_worker, quittance_watcher;
grant execute on function unpublished_events(interval, integer) to quittance_worker;
-- A check is carried out with the rights of whoever writes the row.
grant execute on function invoice_is_sound(invoices) to quittance_api;
