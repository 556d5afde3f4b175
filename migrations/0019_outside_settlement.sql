-- What money from outside is worth, and whose it becomes. The locked rate of an invoice values exactly the units that pay
-- it in time, up to its price. Every other unit (too much, too late, after an end, parts at the end, what an operator gives
-- away) is worth the lower of the locked and the current price when it is settled, and waits while that is not known.
-- Worth is rounded down once for what is settled together, as a running sum: parts lose nothing to rounding.
-- Lock order everywhere: the signature, invoices by id, balances by user, dust by account.

-- Final parts of its price wait for the others, or for its end.
alter table invoices add column has_parts boolean not null default false;
alter table chain_credits
    -- Why it could not be settled so far; the list for operators says the same.
    add column waits_for text constraint chain_credits_wait_known check (waits_for in ('awaiting_price', 'not_creditable')),
    -- The deposit that an operator gave to its user.
    add column deposit_id bigint references unattributed_deposits (id);
drop index chain_credits_unsettled;
drop index chain_credits_to_user;
create unique index chain_credits_of_deposit on chain_credits (deposit_id) where deposit_id is not null;
-- What is to be settled, in the order in which it is tried: what has been settled is in neither.
create index chain_credits_to_settle on chain_credits (retry_at)
    where settled_at is null and state = 'finalized' and waits_for is distinct from 'awaiting_price';
create index chain_credits_awaiting_price on chain_credits (retry_at)
    where settled_at is null and state = 'finalized' and waits_for = 'awaiting_price';

-- What base units are worth at the invoice's locked rate, micro-USD, rounded down; at most what can be counted.
create or replace function units_worth_micro(i invoices, units numeric) returns bigint language sql immutable as $$
    select least(div(units * coalesce(i.fx_micro_per_token, 1000000), units_per_token(i.rail)), 9223372036854775807)::bigint
$$;

-- Micro-USD of one whole token that pays no invoice in time: a dollar, or the lower of the locked and the current price of
-- a SOL; null while that is not known.
create function rest_price_micro(p_rail text, p_locked_micro bigint, p_sol_price_micro bigint) returns bigint
language sql immutable as $$
    select case when p_rail <> 'sol-native' then 1000000
                when p_sol_price_micro is not null then least(p_locked_micro, p_sol_price_micro) end
$$;

-- What base units are worth at a price of one whole token, micro-USD, rounded down.
create function worth_micro_at(p_units numeric, p_price_micro bigint, p_rail text) returns numeric
language sql immutable as $$
    select div(p_units * p_price_micro, units_per_token(p_rail))
$$;

-- Credits a user from the treasury and returns the event; null, and nothing is done, when the balance would be more than
-- clients can read exactly. The balance row must be locked by the caller, or be about to be.
drop function credit_balance(uuid, text, bigint, text, text, timestamptz, text);
create function credit_balance(p_user uuid, p_rail text, p_amount_micro numeric, p_invoice text, p_payment text,
    p_at timestamptz, p_trace text) returns text
language plpgsql as $$
declare
    v_balance balances;
    v_after   numeric;
    v_id      bigint;
begin
    select * into strict v_balance from balances b where b.user_id = p_user for update;
    v_after := v_balance.amount_micro + p_amount_micro;
    if v_after > 9007199254740991 then
        return null;
    end if;
    insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, ref_payment_id,
                           user_id, user_balance_after, at)
    values ('treasury:' || p_rail, 'user:' || p_user::text, p_amount_micro, 'payment_credit', p_invoice, p_payment,
            p_user, v_after, p_at)
    returning id into v_id;
    update balances b set amount_micro = v_after, last_transfer_id = v_id, updated_at = p_at where b.user_id = p_user;
    return balance_event(v_id, v_balance.last_transfer_id, p_trace, p_user, p_amount_micro::bigint, v_after::bigint,
                         p_invoice, p_at);
end
$$;

-- Whether an error will come again when the same is tried again: not that of a lock, a clash, a shortage or a stop.
create function is_lasting(p_sqlstate text) returns boolean language sql immutable as $$
    select left(p_sqlstate, 2) not in ('40', '53', '55', '57', '58', 'XX')
$$;

-- Lists what of an invoice's money is final and could not be settled, and strikes off what has been, or is gone.
create function list_unsettled(p_invoice text) returns void language plpgsql as $$
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
create function pay_from_chain(i invoices, p_received_micro bigint, p_payment text, p_at_confirmed boolean,
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
create function settle_rests(i invoices, p_open boolean, p_price_micro bigint, p_at_confirmed boolean, p_at timestamptz,
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
create function set_credits_aside(i invoices, p_open boolean, p_waits_for text, p_at_confirmed boolean, p_at timestamptz)
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
create function settle_chain_invoice(i invoices, p_at_confirmed boolean, p_sol_price_micro bigint, p_at timestamptz,
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
drop function settle_chain_invoices(text[], boolean, text);
create function settle_chain_invoices(p_invoices text[], p_at_confirmed boolean, p_sol_price_micro bigint, p_trace text,
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
drop function take_credits(invoices, boolean, timestamptz);
drop function activate_subscription(uuid, text, integer, timestamptz);

-- What waited for an invoice is due when that has ended, however it did.
create function invoice_credits_due() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update chain_credits c set retry_at = '-infinity'
    where c.invoice_id = new.id and c.settled_at is null and c.waits_for is null and c.retry_at > '-infinity';
    return null;
end
$$;
create trigger invoices_ended after update of status on invoices for each row
when (old.status = 'pending' and new.status <> 'pending' and new.has_parts)
execute function invoice_credits_due();

-- Settles what waits, some invoices at a time, in the order in which they are to be tried: what invoices that ended left,
-- and what was set aside. While the price of a SOL is not known, what waits for it is not looked at. In one watcher at a
-- time; what somebody holds is left for the next call.
drop function settle_ended_invoices(integer, text);
create function settle_ended_invoices(p_limit integer, p_sol_price_micro bigint, p_trace text,
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

-- The rail of a listed deposit, if it is final money on an account of ours that nobody has been given. The signature must
-- be locked by the caller. A debt is no money, what was netted out is not there, and what waits to be settled has an owner.
create function deposit_rail(u unattributed_deposits) returns text language plpgsql as $$
declare
    v_rail text;
    v_left numeric;
begin
    if u.reason in ('reversed_after_settlement', 'netted_out', 'awaiting_price', 'not_creditable') then
        return null;
    end if;
    select d.rail, p.net_units - p.dust_units - coalesce((
               select sum(c.units) from chain_credits c
               where c.signature = p.signature and c.account = p.account and c.state <> 'reversed'), 0)
    into v_rail, v_left
    from chain_payments p join deposit_accounts d on d.account = p.account
    where p.signature = u.signature and p.account = u.account and p.state = 'finalized';
    return case when v_left >= u.units then v_rail end;
end
$$;

-- An operator gives a listed deposit, of whatever rail, to a user's balance at what it is worth now.
create function credit_deposit(p_id bigint, p_user uuid, p_note text, p_sol_price_micro bigint, p_trace text,
    out outcome text, out worth_micro bigint, out new_balance_micro bigint,
    out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_deposit unattributed_deposits;
    v_rail    text;
    v_worth   numeric;
    v_at      timestamptz;
begin
    outcome := 'not_found';
    select * into v_deposit from unattributed_deposits u where u.id = p_id and u.resolved_at is null;
    if not found then
        return;
    end if;
    perform lock_signature(v_deposit.signature);
    select * into v_deposit from unattributed_deposits u where u.id = p_id and u.resolved_at is null for update;
    if not found then
        return;
    end if;
    v_rail := deposit_rail(v_deposit);
    if v_rail is null then
        outcome := 'nothing_to_attribute';
        return;
    end if;
    select b.amount_micro into new_balance_micro from balances b where b.user_id = p_user for update;
    if not found then
        outcome := 'unknown_user';
        return;
    end if;
    v_worth := worth_micro_at(v_deposit.units, rest_price_micro(v_rail, null, p_sol_price_micro), v_rail);
    if v_worth is null then
        outcome := 'price_missing';
        return;
    end if;
    v_at := clock_timestamp();
    -- What is worth less than a micro-dollar moves no balance.
    if v_worth > 0 then
        messages := array[credit_balance(p_user, v_rail, v_worth, null, v_deposit.signature, v_at, p_trace)];
        if messages[1] is null then
            outcome := 'balance_too_large';
            messages := null;
            return;
        end if;
        topics := array['balance:' || p_user::text];
        batch_id := keep_events(topics, messages);
    end if;
    insert into chain_credits (signature, account, user_id, deposit_id, units, state, worth_micro, settled_at)
    values (v_deposit.signature, v_deposit.account, p_user, p_id, v_deposit.units, 'finalized', v_worth, v_at);
    update unattributed_deposits u
    set resolved_at = v_at, resolution = 'credited', user_id = p_user, note = p_note where u.id = p_id;
    outcome := 'credited';
    worth_micro := v_worth;
    new_balance_micro := new_balance_micro + worth_micro;
end
$$;

-- An operator says which invoice an unattributed deposit is for; it is settled like any payment of that invoice.
drop function attribute_deposit(bigint, text, text, text);
create function attribute_deposit(p_id bigint, p_invoice text, p_note text, p_sol_price_micro bigint, p_trace text,
    out outcome text, out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_deposit unattributed_deposits;
begin
    outcome := 'not_found';
    select * into v_deposit from unattributed_deposits u where u.id = p_id and u.resolved_at is null;
    if not found then
        return;
    end if;
    perform lock_signature(v_deposit.signature);
    select * into v_deposit from unattributed_deposits u where u.id = p_id and u.resolved_at is null for update;
    if not found then
        return;
    end if;
    if deposit_rail(v_deposit) is null then
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
    select s.topics, s.messages into topics, messages
    from settle_chain_invoices(array[p_invoice], false, p_sol_price_micro, p_trace) as s;
    if cardinality(topics) > 0 then
        batch_id := keep_events(topics, messages);
    end if;
end
$$;

revoke execute on function
    rest_price_micro(text, bigint, bigint), worth_micro_at(numeric, bigint, text),
    credit_balance(uuid, text, numeric, text, text, timestamptz, text), is_lasting(text), list_unsettled(text),
    pay_from_chain(invoices, bigint, text, boolean, timestamptz, text),
    settle_rests(invoices, boolean, bigint, boolean, timestamptz, text),
    set_credits_aside(invoices, boolean, text, boolean, timestamptz),
    settle_chain_invoice(invoices, boolean, bigint, timestamptz, text),
    settle_chain_invoices(text[], boolean, bigint, text), invoice_credits_due(),
    settle_ended_invoices(integer, bigint, text), deposit_rail(unattributed_deposits),
    credit_deposit(bigint, uuid, text, bigint, text), attribute_deposit(bigint, text, text, bigint, text)
    from public;
grant execute on function
    credit_deposit(bigint, uuid, text, bigint, text), attribute_deposit(bigint, text, text, bigint, text)
    to quittance_api;
grant execute on function settle_ended_invoices(integer, bigint, text) to quittance_watcher;
