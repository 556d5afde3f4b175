-- Settlement of payments on chain. Lock order everywhere: the signature, invoices by id, balances by user. Credits
-- are written under their invoice's lock: their foreign key takes a weak lock on it, and two that held one each would
-- wait for each other for the strong one.

create function units_per_token(rail text) returns numeric language sql immutable as $$
    select case rail when 'sol-native' then 1000000000 else 1000000 end::numeric
$$;

-- What base units are worth at the invoice's locked rate, micro-USD, rounded down.
create function units_worth_micro(i invoices, units numeric) returns bigint language sql immutable as $$
    select div(units * coalesce(i.fx_micro_per_token, 1000000), units_per_token(i.rail))::bigint
$$;

-- The base units that pay the invoice: rounded up, as its payment URI asks for.
create function units_due(i invoices) returns numeric language sql immutable as $$
    -- Without a subquery: so it becomes a part of whatever expression asks.
    select div(i.amount_micro * units_per_token(i.rail) + coalesce(i.fx_micro_per_token, 1000000) - 1,
               coalesce(i.fx_micro_per_token, 1000000))
$$;

-- Credits a user from the treasury. The balance row must be locked by the caller, or be about to be.
create function credit_balance(p_user uuid, p_rail text, p_amount_micro bigint, p_invoice text, p_payment text,
    p_at timestamptz, p_trace text) returns jsonb
language plpgsql as $$
declare
    v_balance  balances;
    v_transfer transfers;
begin
    select * into strict v_balance from balances b where b.user_id = p_user for update;
    insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, ref_payment_id,
                           user_id, user_balance_after, at)
    values ('treasury:' || p_rail, 'user:' || p_user::text, p_amount_micro, 'payment_credit', p_invoice, p_payment,
            p_user, v_balance.amount_micro + p_amount_micro, p_at)
    returning * into v_transfer;
    update balances b
    set amount_micro = v_transfer.user_balance_after, last_transfer_id = v_transfer.id, updated_at = p_at
    where b.user_id = p_user;
    return balance_message(v_transfer, v_balance.last_transfer_id, p_trace);
end
$$;

-- Applies the action of a purchase that was just paid.
create function activate_subscription(p_user uuid, p_plan text, p_months integer, p_at timestamptz) returns void
language sql as $$
    insert into subscriptions as s (user_id, plan, anchor_at, months_total, months_purchased, active_until, updated_at)
    values (p_user, p_plan, p_at, p_months, p_months, p_at + make_interval(months => p_months), p_at)
    on conflict (user_id, plan) do update set
        anchor_at = case when s.active_until >= p_at then s.anchor_at else p_at end,
        months_total = case when s.active_until >= p_at then s.months_total else 0 end + p_months,
        months_purchased = s.months_purchased + p_months,
        active_until = case when s.active_until >= p_at then s.anchor_at else p_at end
            + make_interval(months => case when s.active_until >= p_at then s.months_total else 0 end + p_months),
        updated_at = p_at
$$;

-- Marks the invoice's settleable credits as settled and returns what they are worth together. Valued as a running
-- sum, so that parts lose nothing to rounding.
create function take_credits(i invoices, p_at_confirmed boolean, p_at timestamptz) returns bigint
language sql as $$
    with due as (
        select c.id, units_worth_micro(i, sum(c.units) over (order by c.id)) as upto
        from chain_credits c
        where c.invoice_id = i.id and c.settled_at is null
          and (c.state = 'finalized' or p_at_confirmed and c.state = 'confirmed')
    ), valued as (
        select d.id, d.upto - lag(d.upto, 1, 0::bigint) over (order by d.id) as worth from due d
    ), taken as (
        update chain_credits c set settled_at = p_at, worth_micro = v.worth
        from valued v where c.id = v.id
        returning c.worth_micro
    )
    select coalesce(sum(worth_micro), 0)::bigint from taken
$$;

-- Brings invoices in line with their credits: progress, payment, and money that came too late, twice or too much,
-- which goes to the owner's balance. Calling it again changes nothing.
create function settle_chain_invoices(p_invoices text[], p_at_confirmed boolean, p_trace text,
    out paid text[], out topics text[], out events jsonb[])
language plpgsql as $$
declare
    v_invoice  invoices;
    v_at       timestamptz;
    v_credits  record;
    v_open     boolean;
    v_worth    bigint;
    v_rest     bigint;
    v_received bigint;
begin
    paid := '{}'; topics := '{}'; events := '{}';
    perform from invoices i where i.id = any (p_invoices) order by i.id for update;
    perform from balances b where b.user_id in (select i.user_id from invoices i where i.id = any (p_invoices))
    order by b.user_id for update;
    -- Read after the locks: waiting for them must not let an expired invoice through.
    v_at := clock_timestamp();

    for v_invoice in select i.* from invoices i where i.id = any (p_invoices) order by i.id loop
        v_open := effective_status(v_invoice, v_at) = 'pending';
        select coalesce(sum(c.units) filter (where c.state <> 'reversed'), 0) as units,
               coalesce(sum(c.units) filter (where c.settled_at is null
                   and (c.state = 'finalized' or p_at_confirmed and c.state = 'confirmed')), 0) as ready,
               -- A part of the price does not stop the clock: it would keep a locked rate open for a lamport at a time.
               coalesce(bool_or(c.state = 'confirmed')
                        and sum(c.units) filter (where c.state <> 'reversed') >= units_due(v_invoice), false) as confirming,
               (array_agg(c.signature order by c.id desc) filter (where c.settled_at is null
                   and (c.state = 'finalized' or p_at_confirmed and c.state = 'confirmed')))[1] as signature
        into v_credits from chain_credits c where c.invoice_id = v_invoice.id;
        v_received := units_worth_micro(v_invoice, v_credits.units);

        if v_open and v_credits.ready >= units_due(v_invoice) then
            v_worth := take_credits(v_invoice, p_at_confirmed, v_at);
            update invoices i
            set status = 'paid', paid_at = v_at, processed_at = v_at, version = i.version + 1,
                payments_received_micro = v_received, payment_confirming = false
            where i.id = v_invoice.id
            returning i.* into v_invoice;
            v_rest := v_worth - v_invoice.amount_micro;
            if v_invoice.action = 'topup' then
                topics := topics || ('balance:' || v_invoice.user_id::text);
                events := events || credit_balance(v_invoice.user_id, v_invoice.rail, v_invoice.amount_micro,
                                                   v_invoice.id, v_credits.signature, v_at, p_trace);
            else
                insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id,
                                       ref_payment_id, at)
                values ('treasury:' || v_invoice.rail, 'revenue', v_invoice.amount_micro, 'invoice_payment',
                        v_invoice.id, v_credits.signature, v_at);
                perform activate_subscription(v_invoice.user_id, v_invoice.plan, v_invoice.months, v_at);
            end if;
            paid := paid || v_invoice.id;
            topics := topics || ('invoice:' || v_invoice.id);
            events := events || invoice_message(v_invoice, 'invoice_paid', p_trace, v_at);
        else
            v_rest := case when v_open then 0 else take_credits(v_invoice, p_at_confirmed, v_at) end;
            update invoices i
            set payments_received_micro = v_received, payment_confirming = v_open and v_credits.confirming,
                version = i.version + (v_open and i.payments_received_micro <> v_received)::integer
            where i.id = v_invoice.id and (i.payments_received_micro <> v_received
                                           or i.payment_confirming <> (v_open and v_credits.confirming));
            if v_open and v_invoice.payments_received_micro <> v_received then
                select i.* into v_invoice from invoices i where i.id = v_invoice.id;
                topics := topics || ('invoice:' || v_invoice.id);
                events := events || invoice_message(v_invoice, 'invoice_progress', p_trace, v_at);
            end if;
        end if;

        if v_rest > 0 then
            topics := topics || ('balance:' || v_invoice.user_id::text);
            events := events || credit_balance(v_invoice.user_id, v_invoice.rail, v_rest, v_invoice.id,
                                               v_credits.signature, v_at, p_trace);
        end if;
    end loop;
end
$$;

-- Looks at one transaction take turns. Looks from two forks may have no row in common, so no row is locked.
create function lock_signature(p_signature text) returns void
language sql as $$
    select pg_advisory_xact_lock(hashtextextended(p_signature, 0))
$$;

-- Locks the invoices that a transaction was or is for.
create function lock_credited(p_signature text, p_more text[]) returns text[]
language plpgsql as $$
declare
    v_invoices text[];
begin
    select array_agg(n.id) into v_invoices
    from (select c.invoice_id as id from chain_credits c where c.signature = p_signature
          union select unnest(p_more)) as n;
    perform from invoices i where i.id = any (v_invoices) order by i.id for update;
    return v_invoices;
end
$$;

-- Lists money of a transaction that had settled and is gone, for an operator; strikes off what came back.
create function list_reversals(p_signature text) returns void
language sql as $$
    insert into unattributed_deposits (signature, account, units, reason, invoice_id)
    select c.signature, c.account, c.units, 'reversed_after_settlement', c.invoice_id
    from chain_credits c
    where c.signature = p_signature and c.state = 'reversed' and c.settled_at is not null order by c.id
    on conflict do nothing;
    delete from unattributed_deposits u using chain_credits c
    where u.signature = p_signature and u.reason = 'reversed_after_settlement' and u.resolved_at is null
      and c.signature = u.signature and c.account = u.account and c.invoice_id = u.invoice_id and c.state <> 'reversed'
$$;

-- Records what a transaction did, as verified at a commitment, and settles what it settles. Recording the same again
-- changes nothing; a later look (another slot after a fork, or finality) replaces an earlier one until it is final. What
-- had settled by an earlier look (which only happens when confirmed payments settle) is never counted anew: if the
-- later look differs, an operator is told of both.
create function record_chain_payment(
    p_signature text, p_slot bigint, p_final boolean, p_at_confirmed boolean,
    p_accounts text[], p_nets bigint[],
    p_credit_accounts text[], p_credit_invoices text[], p_credit_units bigint[],
    p_open_accounts text[], p_open_units bigint[], p_open_reasons text[], p_open_invoices text[],
    p_trace text,
    out paid text[], out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_state    text := case when p_final then 'finalized' else 'confirmed' end;
    v_invoices text[];
    v_topics   text[];
    v_events   jsonb[];
begin
    paid := '{}';
    perform lock_signature(p_signature);
    -- What is final stays as it is.
    if exists (select from chain_payments p where p.signature = p_signature and p.state = 'finalized') then
        return;
    end if;
    if exists (
        select from (select c.account, sum(c.units) as units
                     from unnest(p_credit_accounts, p_credit_units) as c (account, units) group by c.account) as c
        left join unnest(p_accounts, p_nets) as n (account, net) using (account)
        where n.net is null or c.units > n.net
    ) then
        raise exception 'transaction % credits more than it moved', p_signature using errcode = 'check_violation';
    end if;
    if exists (
        select from unnest(p_credit_accounts, p_credit_invoices) as c (account, invoice)
        left join deposit_accounts d on d.account = c.account
        left join invoices i on i.id = c.invoice and i.rail = d.rail and i.address = d.recipient
        where i.id is null
    ) then
        raise exception 'transaction % credits an invoice of another account', p_signature
            using errcode = 'check_violation';
    end if;
    v_invoices := lock_credited(p_signature, p_credit_invoices);

    insert into chain_payments (signature, account, slot, net_units, state)
    select p_signature, n.account, p_slot, n.net, v_state from unnest(p_accounts, p_nets) as n (account, net)
    on conflict do nothing;
    update chain_payments p
    set slot = p_slot, updated_at = clock_timestamp(),
        net_units = coalesce(n.net, p.net_units), state = case when n.net is null then 'reversed' else v_state end
    from chain_payments q left join unnest(p_accounts, p_nets) as n (account, net) on n.account = q.account
    where q.signature = p_signature and p.signature = q.signature and p.account = q.account;
    update chain_credits c
    set units = case when c.settled_at is null then coalesce(n.units, c.units) else c.units end,
        state = case when n.units is null or c.settled_at is not null and n.units <> c.units then 'reversed'
                     else v_state end
    from chain_credits q
    left join unnest(p_credit_accounts, p_credit_invoices, p_credit_units) as n (account, invoice, units)
        on n.account = q.account and n.invoice = q.invoice_id
    where q.signature = p_signature and c.id = q.id;
    insert into chain_credits (signature, account, invoice_id, units, state)
    select p_signature, n.account, n.invoice, n.units, v_state
    from unnest(p_credit_accounts, p_credit_invoices, p_credit_units) as n (account, invoice, units)
    order by n.invoice
    on conflict do nothing;
    perform list_reversals(p_signature);
    if p_final then
        insert into unattributed_deposits (signature, account, units, reason, invoice_id)
        select p_signature, n.account, n.units, n.reason, n.invoice
        from unnest(p_open_accounts, p_open_units, p_open_reasons, p_open_invoices)
             as n (account, units, reason, invoice)
        union all
        select p_signature, n.account, n.units, 'changed_after_settlement', n.invoice
        from unnest(p_credit_accounts, p_credit_invoices, p_credit_units) as n (account, invoice, units)
        join chain_credits c on c.signature = p_signature and c.account = n.account and c.invoice_id = n.invoice
        where c.state = 'reversed'
        on conflict do nothing;
    end if;

    select s.paid, s.topics, s.events into paid, v_topics, v_events
    from settle_chain_invoices(v_invoices, p_at_confirmed, p_trace) as s;
    select e.* into batch_id, topics, messages from emit_events(v_topics, v_events) as e;
end
$$;

-- Takes a confirmation back that the chain has forgotten.
create function reverse_chain_payment(p_signature text, p_trace text,
    out reversed boolean, out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoices text[];
    v_topics   text[];
    v_events   jsonb[];
begin
    perform lock_signature(p_signature);
    update chain_payments p set state = 'reversed', updated_at = clock_timestamp()
    where p.signature = p_signature and p.state = 'confirmed';
    reversed := found;
    if not reversed then
        return;
    end if;
    v_invoices := lock_credited(p_signature, '{}');
    update chain_credits c set state = 'reversed' where c.signature = p_signature and c.state = 'confirmed';
    perform list_reversals(p_signature);
    select s.topics, s.events into v_topics, v_events
    from settle_chain_invoices(v_invoices, false, p_trace) as s;
    select e.* into batch_id, topics, messages from emit_events(v_topics, v_events) as e;
end
$$;

-- Money of invoices that ended while it waited (a part of the price, say) goes to their owners.
create function settle_ended_invoices(p_limit integer, p_trace text,
    out settled integer, out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoices text[];
    v_topics   text[];
    v_events   jsonb[];
begin
    select array_agg(due.id) into v_invoices from (
        select distinct i.id from chain_credits c join invoices i on i.id = c.invoice_id
        where c.settled_at is null and c.state = 'finalized' and effective_status(i, clock_timestamp()) <> 'pending'
        limit p_limit) as due;
    settled := coalesce(cardinality(v_invoices), 0);
    if settled > 0 then
        select s.topics, s.events into v_topics, v_events
        from settle_chain_invoices(v_invoices, false, p_trace) as s;
        select e.* into batch_id, topics, messages from emit_events(v_topics, v_events) as e;
    end if;
end
$$;

-- An operator says which invoice an unattributed deposit is for; it is settled like any payment of that invoice.
create function attribute_deposit(p_id bigint, p_invoice text, p_note text, p_trace text,
    out outcome text, out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_deposit unattributed_deposits;
    v_left    bigint;
    v_topics  text[];
    v_events  jsonb[];
begin
    select * into v_deposit from unattributed_deposits u where u.id = p_id and u.resolved_at is null for update;
    if not found then
        outcome := 'not_found';
        return;
    end if;
    -- A debt is no money.
    if v_deposit.reason = 'reversed_after_settlement' then
        outcome := 'nothing_to_attribute';
        return;
    end if;
    -- Locked before its credits are counted: what was credited while this waited counts.
    perform from chain_payments p
    where p.signature = v_deposit.signature and p.account = v_deposit.account for update;
    select p.net_units - coalesce(sum(c.units), 0) into v_left
    from chain_payments p
    left join chain_credits c on c.signature = p.signature and c.account = p.account and c.state <> 'reversed'
    where p.signature = v_deposit.signature and p.account = v_deposit.account and p.state = 'finalized'
    group by p.signature, p.account;
    if v_left is null or v_left < v_deposit.units then
        outcome := 'nothing_to_attribute';
        return;
    end if;
    perform from invoices i join deposit_accounts d on d.rail = i.rail and d.recipient = i.address
    where i.id = p_invoice and d.account = v_deposit.account for update of i;
    if not found then
        outcome := 'invoice_does_not_fit';
        return;
    end if;
    insert into chain_credits (signature, account, invoice_id, units, state)
    values (v_deposit.signature, v_deposit.account, p_invoice, v_deposit.units, 'finalized')
    on conflict (signature, account, invoice_id) do nothing;
    if not found then
        outcome := 'invoice_was_credited';
        return;
    end if;
    update unattributed_deposits u
    set resolved_at = clock_timestamp(), resolution = 'attributed', invoice_id = p_invoice, note = p_note
    where u.id = p_id;
    outcome := 'attributed';
    select s.topics, s.events into v_topics, v_events
    from settle_chain_invoices(array[p_invoice], false, p_trace) as s;
    select e.* into batch_id, topics, messages from emit_events(v_topics, v_events) as e;
end
$$;

-- As before, but invoices whose payment is being confirmed wait.
create or replace function expire_invoices(p_limit integer, p_trace text,
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
        where i.expires_at > v_from and i.expires_at <= v_at and i.status = 'pending' and not i.payment_confirming
        union
        select i.id from invoices i
        where i.expires_at > v_round and i.expires_at <= v_at
          and (v_next = '-infinity' or i.expires_at <= v_next) and i.status = 'pending' and not i.payment_confirming
    ), due as (
        select i.id from invoices i
        where i.id in (select o.id from overdue o order by o.id limit p_limit)
          and i.status = 'pending' and not i.payment_confirming
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
