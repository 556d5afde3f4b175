-- What money that came on chain is worth, and whose it becomes. The locked rate of an invoice values exactly the units that
-- pay it in time, up to its price. Every other unit (too much, too late, after an end, parts at the end, what an operator
-- gives away) is worth the lower of the locked and the current price when it is settled, and waits while that is not known.
-- Worth is rounded down once for what is settled together, as a running sum: parts lose nothing to rounding.

-- Whether an error will come again when the same is tried again: not that of a lock, a clash, a shortage or a stop.
create or replace function is_lasting(p_sqlstate text) returns boolean language sql immutable as $$
    select left(p_sqlstate, 2) not in ('40', '53', '55', '57', '58', 'XX')
$$;

-- Lists what of an invoice's money is final and could not be settled, and strikes off what has been, or is gone.
create or replace function list_unsettled(p_invoice text) returns void language plpgsql as $$
begin
    delete from unattributed_deposits u using chain_credits c
    where c.invoice_id = p_invoice and u.signature = c.signature and u.account = c.account and u.invoice_id = p_invoice
      and u.reason in ('awaiting_price', 'not_creditable') and u.resolved_at is null
      and (c.settled_at is not null or c.state <> 'finalized' or c.waits_for is distinct from u.reason);
    insert into unattributed_deposits as u (signature, account, units, reason, invoice_id, worth_micro)
    select c.signature, c.account, c.units - c.paid_units, c.waits_for, c.invoice_id,
           case when d.rail <> 'sol-native' then c.units - c.paid_units end
    from chain_credits c join deposit_accounts d on d.account = c.account
    where c.invoice_id = p_invoice and c.waits_for is not null and c.settled_at is null and c.state = 'finalized'
    order by c.id
    on conflict (signature, account, invoice_id, reason)
        where reason in ('reversed_after_settlement', 'changed_after_settlement', 'awaiting_price', 'not_creditable')
        do update set units = excluded.units, worth_micro = excluded.worth_micro
        where u.resolved_at is null and u.units <> excluded.units;
end
$$;

-- Pays a pending invoice with its timely credits that are ready; whether there are enough is the caller's to know. Which
-- of them pay it is their order. Fails, as a whole, when its owner's balance cannot take a top-up.
create or replace function pay_from_chain(i invoices, p_received_micro bigint, p_payment text, p_at_confirmed boolean,
    p_at timestamptz, p_trace text, out topics text[], out messages text[])
language plpgsql as $$
declare
    v_due   numeric := units_due(i);
    v_event text;
begin
    update chain_credits c
    set paid_units = least(c.units, v_due - d.before),
        settled_at = case when c.units <= v_due - d.before then p_at end,
        worth_micro = case when c.units <= v_due - d.before then 0 end,
        waits_for = null
    from (select q.id, sum(q.units) over (order by q.id) - q.units as before
          from chain_credits q join chain_payments p on p.signature = q.signature and p.account = q.account
          where q.invoice_id = i.id and q.settled_at is null
            and (q.state = 'finalized' or p_at_confirmed and q.state = 'confirmed')
            and least(p.block_time, p.seen_at) <= i.expires_at) as d
    where c.id = d.id and d.before < v_due;
    update invoices v
    set status = 'paid', paid_at = p_at, processed_at = p_at, version = i.version + 1,
        payments_received_micro = p_received_micro, payment_confirming = false
    where v.id = i.id;
    topics := array['invoice:' || i.id];
    messages := array[invoice_event('invoice_paid', i.id, i.version + 1, p_trace, i.user_id, 'paid', i.amount_micro,
                                    p_received_micro, p_at)];
    if i.action = 'topup' then
        v_event := credit_balance(i.user_id, i.rail, i.amount_micro, i.id, p_payment, p_at, p_trace);
        if v_event is null then
            raise exception 'the balance of user % would be too large', i.user_id
                using errcode = 'numeric_value_out_of_range';
        end if;
        topics := array['balance:' || i.user_id::text] || topics;
        messages := array[v_event] || messages;
    else
        insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, ref_payment_id, at)
        values ('treasury:' || i.rail, 'revenue', i.amount_micro, 'invoice_payment', i.id, p_payment, p_at);
        perform activate_subscriptions(array[i.user_id], array[i.plan], array[i.months::integer], p_at);
    end if;
end
$$;

-- Gives the rests of an invoice's credits that are ready to its owner at a price; of an open one only what came too late.
-- Fails, as a whole, when the owner's balance cannot take it.
create or replace function settle_rests(i invoices, p_open boolean, p_price_micro bigint, p_at_confirmed boolean, p_at timestamptz,
    p_trace text, out topic text, out message text)
language plpgsql as $$
declare
    v_worth   numeric;
    v_payment text;
begin
    with due as (
        select c.id, worth_micro_at(sum(c.units - c.paid_units) over (order by c.id), p_price_micro, i.rail) as upto
        from chain_credits c join chain_payments p on p.signature = c.signature and p.account = c.account
        where c.invoice_id = i.id and c.settled_at is null
          and (c.state = 'finalized' or p_at_confirmed and c.state = 'confirmed')
          and (not p_open or least(p.block_time, p.seen_at) > i.expires_at)
    ), valued as (
        select d.id, d.upto - lag(d.upto, 1, 0::numeric) over (order by d.id) as worth from due d
    ), taken as (
        update chain_credits c set settled_at = p_at, worth_micro = v.worth, waits_for = null
        from valued v where c.id = v.id
        returning c.id, c.signature, c.worth_micro
    )
    select coalesce(sum(t.worth_micro), 0), (array_agg(t.signature order by t.id desc))[1]
    into v_worth, v_payment from taken t;
    -- What is worth less than a micro-dollar moves no balance.
    if v_worth > 0 then
        message := credit_balance(i.user_id, i.rail, v_worth, i.id, v_payment, p_at, p_trace);
        if message is null then
            raise exception 'the balance of user % would be too large', i.user_id
                using errcode = 'numeric_value_out_of_range';
        end if;
        topic := 'balance:' || i.user_id::text;
    end if;
end
$$;

-- Sets credits of an invoice that are ready aside, because they cannot be settled now.
create or replace function set_credits_aside(i invoices, p_open boolean, p_waits_for text, p_at_confirmed boolean, p_at timestamptz)
returns void language plpgsql as $$
begin
    update chain_credits c
    set waits_for = p_waits_for, retry_at = case when p_waits_for = 'not_creditable' then p_at + interval '5 minutes' else p_at end
    from chain_payments p
    where c.invoice_id = i.id and c.settled_at is null
      and (c.state = 'finalized' or p_at_confirmed and c.state = 'confirmed')
      and p.signature = c.signature and p.account = c.account
      and (not p_open or least(p.block_time, p.seen_at) > i.expires_at)
      and (p_waits_for = 'not_creditable' or c.waits_for is distinct from p_waits_for);
end
$$;

-- Brings one invoice in line with its credits, see settle_chain_invoices. It and its owner's balance must be locked.
create or replace function settle_chain_invoice(i invoices, p_at_confirmed boolean, p_sol_price_micro bigint, p_at timestamptz,
    p_trace text, out is_paid boolean, out topics text[], out messages text[])
language plpgsql as $$
declare
    v_open     boolean := effective_status(i, p_at) = 'pending';
    v_sums     record;
    v_received bigint;
    v_stays    boolean;
    v_listed   boolean;
    v_price    bigint;
    v_told     record;
begin
    is_paid := false; topics := '{}'; messages := '{}';
    select coalesce(sum(t.units) filter (where t.state <> 'reversed'), 0) as seen,
           coalesce(sum(t.units) filter (where t.state <> 'reversed' and t.timely), 0) as timely,
           coalesce(sum(t.units) filter (where t.ready), 0) as ready,
           coalesce(sum(t.units) filter (where t.ready and t.timely), 0) as ready_timely,
           (array_agg(t.signature order by t.id desc) filter (where t.ready and t.timely))[1] as payment,
           coalesce(bool_or(t.waits_for is not null), false) as waits
    into v_sums
    from (select c.id, c.signature, c.units, c.state, c.waits_for,
                 least(p.block_time, p.seen_at) <= i.expires_at as timely,
                 c.settled_at is null and (c.state = 'finalized' or p_at_confirmed and c.state = 'confirmed') as ready
          from chain_credits c join chain_payments p on p.signature = c.signature and p.account = c.account
          where c.invoice_id = i.id) as t;
    v_received := units_worth_micro(i, v_sums.seen);
    v_listed := v_sums.waits;

    if v_open and v_sums.ready_timely >= units_due(i) then
        begin
            select e.topics, e.messages into v_told
            from pay_from_chain(i, v_received, v_sums.payment, p_at_confirmed, p_at, p_trace) as e;
            is_paid := true;
            topics := v_told.topics; messages := v_told.messages;
        exception when others then
            if not is_lasting(sqlstate) then
                raise;
            end if;
            raise warning 'invoice % cannot be paid: %', i.id, sqlerrm;
            perform set_credits_aside(i, false, 'not_creditable', p_at_confirmed, p_at);
            v_listed := true;
        end;
    end if;
    if not is_paid then
        -- What covers the price holds the invoice open. A part of the price does not: it would keep a locked rate open for
        -- a lamport at a time.
        v_stays := v_open and v_sums.timely >= units_due(i);
        update invoices v
        set payments_received_micro = v_received, payment_confirming = v_stays,
            version = v.version + (v_open and v.payments_received_micro <> v_received)::integer
        where v.id = i.id and (v.payments_received_micro <> v_received or v.payment_confirming <> v_stays);
        if v_open and i.payments_received_micro <> v_received then
            topics := array['invoice:' || i.id];
            messages := array[invoice_event('invoice_progress', i.id, i.version + 1, p_trace, i.user_id, 'pending',
                                            i.amount_micro, v_received, p_at)];
        end if;
        v_open := v_open and (v_stays or i.grace_until > p_at);
    end if;

    -- What pays nothing is the owner's: all of it once the invoice has ended, and at any time what came too late for it.
    if v_sums.ready > (case when is_paid then units_due(i) when v_open then v_sums.ready_timely else 0 end) then
        v_open := v_open and not is_paid;
        v_price := rest_price_micro(i.rail, i.fx_micro_per_token, p_sol_price_micro);
        if v_price is null then
            perform set_credits_aside(i, v_open, 'awaiting_price', p_at_confirmed, p_at);
            v_listed := true;
        else
            begin
                select e.topic, e.message into v_told
                from settle_rests(i, v_open, v_price, p_at_confirmed, p_at, p_trace) as e;
                if v_told.topic is not null then
                    topics := topics || v_told.topic; messages := messages || v_told.message;
                end if;
            exception when others then
                if not is_lasting(sqlstate) then
                    raise;
                end if;
                raise warning 'money of invoice % cannot be credited: %', i.id, sqlerrm;
                perform set_credits_aside(i, v_open, 'not_creditable', p_at_confirmed, p_at);
                v_listed := true;
            end;
        end if;
    end if;
    if v_open and not is_paid and v_sums.ready_timely > 0 then
        -- Parts of the price wait for the others until the invoice ends, which tells them (see invoice_credits_due).
        update chain_credits c set retry_at = greatest(i.grace_until, p_at + interval '1 minute'), waits_for = null
        from chain_payments p
        where c.invoice_id = i.id and c.settled_at is null and c.state = 'finalized' and c.retry_at <= p_at
          and p.signature = c.signature and p.account = c.account and least(p.block_time, p.seen_at) <= i.expires_at;
        update invoices v set has_parts = true where v.id = i.id and not v.has_parts;
    end if;
    if v_listed then
        perform list_unsettled(i.id);
    end if;
end
$$;

-- Brings invoices in line with their credits: progress, payment, and money that came too late, twice or too much, which
-- goes to the owner's balance. Calling it again changes nothing. An invoice that cannot be settled is set aside, listed,
-- and tried again later; the others are settled all the same.
create or replace function settle_chain_invoices(p_invoices text[], p_at_confirmed boolean, p_sol_price_micro bigint, p_trace text,
    out paid text[], out topics text[], out messages text[])
language plpgsql as $$
declare
    v_invoice invoices;
    v_at      timestamptz;
    v_done    record;
begin
    paid := '{}'; topics := '{}'; messages := '{}';
    perform from invoices i where i.id = any (p_invoices) order by i.id for update;
    perform from balances b where b.user_id in (select i.user_id from invoices i where i.id = any (p_invoices))
    order by b.user_id for update;
    -- Read after the locks: waiting for them must not let an expired invoice through.
    v_at := clock_timestamp();
    for v_invoice in select i.* from invoices i where i.id = any (p_invoices) order by i.id loop
        select * into v_done
        from settle_chain_invoice(v_invoice, p_at_confirmed, p_sol_price_micro, v_at, p_trace);
        topics := topics || v_done.topics; messages := messages || v_done.messages;
        if v_done.is_paid then
            paid := paid || v_invoice.id;
        end if;
    end loop;
end
$$;

-- What waited for an invoice is due when that has ended, however it did.
create or replace function invoice_credits_due() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update chain_credits c set retry_at = '-infinity'
    where c.invoice_id = new.id and c.settled_at is null and c.waits_for is null and c.retry_at > '-infinity';
    return null;
end
$$;

create or replace trigger invoices_ended after update of status on invoices for each row
when (old.status = 'pending' and new.status <> 'pending' and new.has_parts)
execute function invoice_credits_due();

-- Settles what waits, some invoices at a time, in the order in which they are to be tried: what invoices that ended left,
-- and what was set aside. While the price of a SOL is not known, what waits for it is not looked at. In one watcher at a
-- time; what somebody holds is left for the next call.
create or replace function settle_ended_invoices(p_limit integer, p_sol_price_micro bigint, p_trace text,
    out settled integer, out has_more boolean, out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    -- Stands still, or no index would be of use.
    v_at       timestamptz := clock_timestamp();
    v_due      text[];
    v_invoices text[];
    v_held     text[];
begin
    settled := 0;
    has_more := false;
    if not pg_try_advisory_xact_lock(hashtextextended('settle_ended_invoices', 0)) then
        return;
    end if;
    select array_agg(distinct d.invoice_id), count(*) >= p_limit into v_due, has_more from (
        (select c.invoice_id from chain_credits c
         where c.settled_at is null and c.state = 'finalized' and c.waits_for is distinct from 'awaiting_price'
           and c.retry_at <= v_at
         order by c.retry_at limit p_limit)
        union all
        (select c.invoice_id from chain_credits c
         where c.settled_at is null and c.state = 'finalized' and c.waits_for = 'awaiting_price'
           and c.retry_at <= v_at and p_sol_price_micro is not null
         order by c.retry_at limit p_limit)) as d;
    if v_due is null then
        return;
    end if;
    select array_agg(f.id) into v_invoices
    from (select i.id from invoices i where i.id = any (v_due) order by i.id for update skip locked) as f;
    select array_agg(f.id) into v_invoices
    from (select i.id from balances b join invoices i on i.user_id = b.user_id
          where i.id = any (v_invoices) order by b.user_id for update of b skip locked) as f;
    select array_agg(d.id) into v_held from unnest(v_due) as d (id)
    where v_invoices is null or d.id <> all (v_invoices);
    if v_held is not null then
        update chain_credits c set retry_at = v_at + interval '1 second'
        where c.id = any (array(select q.id from chain_credits q
                                where q.invoice_id = any (v_held) and q.settled_at is null and q.state = 'finalized'
                                for update skip locked));
    end if;
    settled := cardinality(v_due);
    if v_invoices is not null then
        select s.topics, s.messages into topics, messages
        from settle_chain_invoices(v_invoices, false, p_sol_price_micro, p_trace) as s;
        if cardinality(topics) > 0 then
            batch_id := keep_events(topics, messages);
        end if;
    end if;
end
$$;

revoke execute on function
    is_lasting(text), list_unsettled(text), pay_from_chain(invoices, bigint, text, boolean, timestamptz, text),
    settle_rests(invoices, boolean, bigint, boolean, timestamptz, text),
    set_credits_aside(invoices, boolean, text, boolean, timestamptz),
    settle_chain_invoice(invoices, boolean, bigint, timestamptz, text),
    settle_chain_invoices(text[], boolean, bigint, text), invoice_credits_due(),
    settle_ended_invoices(integer, bigint, text)
    from public;

grant execute on function
    settle_ended_invoices(integer, bigint, text)
    to quittance_watcher;
