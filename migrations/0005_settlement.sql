-- The only functions that move money or end an invoice. They run with the owner's rights; the processes'
-- roles may call them but not write the tables. Lock order everywhere: invoices by id, then balances by user.

-- Settles invoices from their payers' balances: each request exact and in array order, as if they came one by one.
-- The (invoice, user) pairs must be distinct. The answer is one row: outcomes and balances by request,
-- and the events to publish now that the transaction is about to commit.
create function settle_from_balance(
    p_invoices text[], p_users uuid[], p_traces text[],
    out outcomes text[], out balances_micro bigint[],
    out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    r           record;
    v_at        timestamptz;
    v_user      uuid;
    v_balance   bigint;
    v_last      bigint;
    v_outcome   text;
    v_id        bigint;
    n_transfers bigint[] := '{}';
    n_previous  bigint[] := '{}';
    n_invoices  text[] := '{}';
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
        select q.ord, q.user_id, q.trace, i.id, i.user_id as owner, effective_status(i, v_at) as status,
               i.amount_micro, i.action, i.plan, i.months,
               b.amount_micro as balance, b.locked_at, b.last_transfer_id
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
        v_outcome := case
            when r.id is null then 'invoice_not_found'
            when r.owner <> r.user_id then 'not_owner'
            when r.status = 'paid' then 'already_paid'
            when r.status <> 'pending' then 'invoice_not_pending'
            when r.action = 'topup' then 'invoice_is_topup'
            when r.locked_at is not null then 'balance_locked'
            when v_balance < r.amount_micro then 'insufficient_balance'
            else 'paid'
        end;
        if v_outcome = 'paid' then
            v_balance := v_balance - r.amount_micro;
            v_id := nextval('transfers_id_seq');
            n_transfers := n_transfers || v_id;
            n_previous := n_previous || v_last;
            n_invoices := n_invoices || r.id;
            n_users := n_users || r.user_id;
            n_amounts := n_amounts || r.amount_micro;
            n_after := n_after || v_balance;
            n_plans := n_plans || r.plan;
            n_months := n_months || r.months::integer;
            n_traces := n_traces || r.trace;
            v_last := v_id;
        end if;
        outcomes[r.ord] := v_outcome;
        balances_micro[r.ord] := v_balance;
    end loop;

    if cardinality(n_transfers) = 0 then
        return;
    end if;

    insert into outbox_batches default values returning id into batch_id;

    with posted as (
        insert into transfers as t (id, debit_account, credit_account, amount_micro, kind, ref_invoice_id,
                                    user_id, user_balance_after, at)
        select n.id, 'user:' || n.user_id::text, 'revenue', n.amount_micro, 'invoice_debit', n.invoice_id,
               n.user_id, n.balance_after, v_at
        from unnest(n_transfers, n_users, n_amounts, n_invoices, n_after)
             as n (id, user_id, amount_micro, invoice_id, balance_after)
        returning t as transfer
    ), settled as (
        update invoices i
        set status = 'paid', paid_at = v_at, processed_at = v_at, version = i.version + 1
        from unnest(n_invoices, n_traces) as n (id, trace)
        where i.id = n.id
        returning i as invoice, n.trace
    ), activated as (
        insert into subscriptions as s (user_id, plan, anchor_at, months_total, months_purchased, active_until, updated_at)
        select n.user_id, n.plan, v_at, sum(n.months), sum(n.months),
               v_at + make_interval(months => sum(n.months)::integer), v_at
        from unnest(n_users, n_plans, n_months) as n (user_id, plan, months)
        group by n.user_id, n.plan
        order by n.user_id, n.plan
        on conflict (user_id, plan) do update set
            anchor_at = case when s.active_until >= v_at then s.anchor_at else v_at end,
            months_total = case when s.active_until >= v_at then s.months_total else 0 end + excluded.months_total,
            months_purchased = s.months_purchased + excluded.months_purchased,
            active_until = case when s.active_until >= v_at then s.anchor_at else v_at end
                + make_interval(months => case when s.active_until >= v_at then s.months_total else 0 end
                                          + excluded.months_total),
            updated_at = v_at
    ), debited as (
        update balances b
        set amount_micro = n.balance_after, last_transfer_id = n.id, updated_at = v_at
        from (select distinct on (m.user_id) m.user_id, m.id, m.balance_after
              from unnest(n_users, n_transfers, n_after) as m (user_id, id, balance_after)
              order by m.user_id, m.id desc) as n
        where b.user_id = n.user_id
    ), events as (
        select 'balance:' || ((p.transfer).user_id)::text as topic,
               balance_message(p.transfer, n.previous, n.trace) as message, (p.transfer).id as at_id
        from posted p
        join unnest(n_transfers, n_previous, n_traces) as n (id, previous, trace) on n.id = (p.transfer).id
        union all
        select 'invoice:' || (s.invoice).id, invoice_message(s.invoice, 'invoice_paid', s.trace, v_at), null
        from settled s
    ), kept as (
        insert into outbox (batch_id, topic, message)
        select settle_from_balance.batch_id, e.topic, e.message from events e order by e.at_id
        returning id, topic, message
    )
    select array_agg(k.topic order by k.id), array_agg(k.message::text order by k.id)
    into topics, messages from kept k;
end
$$;

-- Writes one transaction's events and returns them for publishing.
create function emit_events(p_topics text[], p_messages jsonb[],
    out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if cardinality(p_topics) = 0 then
        return;
    end if;
    insert into outbox_batches default values returning id into batch_id;
    insert into outbox (batch_id, topic, message)
    select emit_events.batch_id, e.topic, e.message from unnest(p_topics, p_messages) as e (topic, message);
    topics := p_topics;
    select array_agg(m::text) into messages from unnest(p_messages) as m;
end
$$;

-- The owner cancels a pending invoice; false when there is no such pending invoice of this user.
create function cancel_invoice(p_invoice text, p_user uuid, p_trace text,
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

-- How far each sweep has come; hints that bound its scan, not a source of truth.
create table sweep_cursors (
    name text primary key,
    at   timestamptz not null
);
insert into sweep_cursors (name, at) values ('expiry', '-infinity'), ('expiry_round', '-infinity');

-- Expires overdue invoices, some at a time. Any number of workers may run it: rows another one holds are skipped.
-- No index names the status (see invoices_by_expiry), so the scan starts where the last one ended; a second,
-- slow round over all older invoices finds what the first should have and did not.
create function expire_invoices(p_limit integer, p_trace text,
    out expired integer, out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_at       timestamptz := clock_timestamp();
    v_from     timestamptz := (select c.at from sweep_cursors c where c.name = 'expiry');
    v_round    timestamptz := (select c.at from sweep_cursors c where c.name = 'expiry_round');
    v_next     timestamptz;
    v_messages jsonb[];
    v_topics   text[];
begin
    select case when count(*) < 2000 then '-infinity' else max(o.expires_at) end into v_next
    from (select i.expires_at from invoices i
          where i.expires_at > v_round and i.expires_at <= v_at order by i.expires_at limit 2000) as o;

    with overdue as (
        select i.id from invoices i
        where i.expires_at > v_from and i.expires_at <= v_at and i.status = 'pending'
        union
        select i.id from invoices i
        where i.expires_at > v_round and i.expires_at <= v_at
          and (v_next = '-infinity' or i.expires_at <= v_next) and i.status = 'pending'
    ), due as (
        select i.id from invoices i
        where i.id in (select o.id from overdue o order by o.id limit p_limit) and i.status = 'pending'
        order by i.id for update skip locked
    ), swept as (
        update invoices i set status = 'expired', version = i.version + 1
        from due where i.id = due.id
        returning i as invoice
    )
    select count(*), array_agg('invoice:' || (s.invoice).id),
           array_agg(invoice_message(s.invoice, 'invoice_expired', p_trace, v_at))
    into expired, v_topics, v_messages from swept s;

    if expired > 0 then
        select e.* into batch_id, topics, messages from emit_events(v_topics, v_messages) as e;
    end if;
    -- Five seconds of slack: no invoice is created that late before its own expiry.
    update sweep_cursors c set at = greatest(c.at, least(
        v_at - interval '5 seconds',
        (select min(i.expires_at) - interval '1 microsecond' from invoices i
         where i.expires_at > v_from and i.expires_at <= v_at and i.status = 'pending')))
    where c.name = 'expiry';
    update sweep_cursors c set at = v_next where c.name = 'expiry_round' and c.at is distinct from v_next;
end
$$;

-- Moves a balance by hand: positive credits, negative debits, never below zero, once per key.
create function adjust_balance(p_user uuid, p_delta_micro bigint, p_reason text, p_key text, p_trace text,
    out outcome text, out entry_id bigint, out balance_micro bigint,
    out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_balance  balances;
    v_before   adjustments;
    v_transfer transfers;
begin
    select * into v_balance from balances b where b.user_id = p_user for update;
    if not found then
        outcome := 'user_not_found';
        return;
    end if;

    select * into v_before from adjustments a where a.user_id = p_user and a.idempotency_key = p_key;
    if found then
        if v_before.delta_micro <> p_delta_micro or v_before.reason <> p_reason then
            outcome := 'idempotency_conflict';
            return;
        end if;
        outcome := 'adjusted';
        select t.id, t.user_balance_after into entry_id, balance_micro
        from transfers t where t.id = v_before.transfer_id;
        return;
    end if;

    if v_balance.amount_micro + p_delta_micro < 0 then
        outcome := 'insufficient_balance';
        return;
    elsif v_balance.amount_micro + p_delta_micro > 9007199254740991 then
        outcome := 'balance_too_large';
        return;
    end if;

    outcome := 'adjusted';
    balance_micro := v_balance.amount_micro + p_delta_micro;
    insert into transfers (debit_account, credit_account, amount_micro, kind, user_id, user_balance_after, at)
    values (case when p_delta_micro > 0 then 'adjustments' else 'user:' || p_user::text end,
            case when p_delta_micro > 0 then 'user:' || p_user::text else 'adjustments' end,
            abs(p_delta_micro), 'adjust', p_user, balance_micro, clock_timestamp())
    returning * into v_transfer;
    entry_id := v_transfer.id;
    insert into adjustments (user_id, idempotency_key, delta_micro, reason, transfer_id)
    values (p_user, p_key, p_delta_micro, p_reason, entry_id);
    update balances b
    set amount_micro = balance_micro, last_transfer_id = entry_id, updated_at = v_transfer.at
    where b.user_id = p_user;
    select e.* into batch_id, topics, messages
    from emit_events(array['balance:' || p_user::text],
                     array[balance_message(v_transfer, v_balance.last_transfer_id, p_trace)]) as e;
end
$$;

-- Freezes or frees a balance; null when there is no such user, else the time it was locked, if it is.
create function set_balance_lock(p_user uuid, p_locked boolean, out found_user boolean, out locked_since timestamptz)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update balances b
    set locked_at = case when p_locked then coalesce(b.locked_at, clock_timestamp()) end,
        updated_at = case when p_locked = (b.locked_at is not null) then b.updated_at else clock_timestamp() end
    where b.user_id = p_user
    returning b.locked_at into locked_since;
    found_user := found;
end
$$;
