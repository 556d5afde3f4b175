-- What transactions did is recorded with when they landed and what they took out; time ends invoices only when what had
-- landed by then has been read.

-- An invoice's end comes at its grace's end at the latest; until then it may still turn out to have been paid in time.
create or replace function effective_status(i invoices, at timestamptz) returns text language sql immutable as $$
    select case when i.status = 'pending' and i.grace_until <= at and not i.payment_confirming then 'expired'
                else i.status end
$$;
create index invoices_by_grace on invoices (grace_until);

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

-- The base units that an invoice still asks for: what landed in time counts, final or not.
create function units_remaining(i invoices) returns numeric language plpgsql stable as $$
begin
    return greatest(0, units_due(i) - coalesce((
        select sum(c.units) from chain_credits c
        join chain_payments p on p.signature = c.signature and p.account = c.account
        where c.invoice_id = i.id and c.state <> 'reversed' and least(p.block_time, p.seen_at) <= i.expires_at), 0));
end
$$;

-- Locks transactions, the invoices that they were for, and more of them, in the order that holds everywhere.
drop function lock_credited(text, text[]);
create function lock_credited(p_signatures text[], p_more text[]) returns void language plpgsql as $$
begin
    perform lock_signature(t.signature)
    from (select distinct u.signature from unnest(p_signatures) as u (signature) order by u.signature) as t;
    perform from invoices i
    where i.id = any (array(select c.invoice_id from chain_credits c
                            where c.signature = any (p_signatures) and c.invoice_id is not null) || p_more)
    order by i.id for update;
end
$$;

-- Lists money of a transaction that had settled and is gone, for an operator; strikes off what came back.
drop function list_reversals(text);
create function list_reversals(p_signature text) returns void language plpgsql as $$
begin
    insert into unattributed_deposits (signature, account, units, reason, invoice_id, worth_micro)
    select c.signature, c.account, case when c.settled_at is null then c.paid_units else c.units end,
           'reversed_after_settlement', c.invoice_id, units_worth_micro(i, c.paid_units) + coalesce(c.worth_micro, 0)
    from chain_credits c join invoices i on i.id = c.invoice_id
    where c.signature = p_signature and c.state = 'reversed' and (c.settled_at is not null or c.paid_units > 0)
    order by c.id
    on conflict do nothing;
    delete from unattributed_deposits u using chain_credits c
    where u.signature = p_signature and u.reason = 'reversed_after_settlement' and u.resolved_at is null
      and c.signature = u.signature and c.account = u.account and c.invoice_id = u.invoice_id and c.state <> 'reversed';
end
$$;

-- Refuses credits for more than was moved, and for invoices of other accounts: nothing has been written then.
create function check_credits(p_signature text, p_accounts text[], p_nets bigint[],
    p_credit_accounts text[], p_credit_invoices text[], p_credit_units bigint[]) returns void language plpgsql as $$
begin
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
end
$$;

-- Lists what a final transaction left open on one account; what is worth too little is counted there instead.
create function leave_open(p_signature text, p_account text, p_units numeric, p_reason text, p_invoice text, p_rail text,
    p_is_gain boolean, p_sol_price_micro bigint, p_dust_below_micro bigint) returns void language plpgsql as $$
declare
    -- Of what nobody pays with.
    v_worth numeric := 0;
begin
    if p_rail is not null then
        v_worth := worth_micro_at(p_units, rest_price_micro(p_rail, null, p_sol_price_micro), p_rail);
    end if;
    if p_is_gain and v_worth < p_dust_below_micro then
        update chain_payments p set dust_units = p.dust_units + p_units
        where p.signature = p_signature and p.account = p_account;
        insert into deposit_dust as d (account, deposits, units, last_at)
        values (p_account, 1, p_units, clock_timestamp())
        on conflict (account) do update
        set deposits = d.deposits + 1, units = d.units + excluded.units, last_at = excluded.last_at;
    else
        insert into unattributed_deposits (signature, account, units, reason, invoice_id, worth_micro)
        values (p_signature, p_account, p_units, p_reason, p_invoice,
                case when v_worth <= 9223372036854775807 then v_worth end)
        on conflict do nothing;
    end if;
end
$$;

-- One look at a transaction, as verified at a commitment: what it did. Units of what is not ours may be more than is counted
-- in elsewhere.
create type chain_look as (
    signature text, slot bigint, landed_at timestamptz, is_final boolean, accounts_known integer,
    accounts text[], nets bigint[],
    credit_accounts text[], credit_invoices text[], credit_units bigint[],
    open_accounts text[], open_units numeric[], open_reasons text[], open_invoices text[], open_rails text[],
    out_accounts text[], out_units bigint[]
);

-- What was found is followed once it is recorded, and done with once it is final; only whoever holds it may say so.
create function advance_signature(l chain_look, p_watcher uuid) returns void language plpgsql as $$
begin
    update chain_signatures s
    set state = case when l.is_final then 'done' else 'confirmed' end, slot = l.slot, attempts = 0, next_at = now(),
        note = null, absences = 0, absent_since = null, taken_by = null, accounts_known = l.accounts_known
    where s.signature = l.signature and s.taken_by = p_watcher and (l.is_final or s.state = 'found');
end
$$;

-- Writes down what a look showed, for record_chain_looks; returns the invoices that it is news for, and the accounts whose
-- judgement stands.
create function record_look(l chain_look, p_at_confirmed boolean, out invoices text[], out judged text[])
language plpgsql as $$
declare
    v_state  text := case when l.is_final then 'finalized' else 'confirmed' end;
    -- Accounts that it is known to have paid.
    v_known  text[];
    -- An earlier look may be changed by this one.
    v_again  boolean;
    -- Something of it is taken back by this look, or comes back.
    v_turned boolean := false;
    v_paying boolean := false;
begin
    invoices := '{}';
    select coalesce(array_agg(p.account), '{}'), coalesce(array_agg(p.account) filter (where p.state = 'finalized'), '{}')
    into v_known, judged from chain_payments p where p.signature = l.signature;
    if judged <> '{}' then
        -- What is not final yet was reversed when the others became final.
        judged := v_known;
        if not l.is_final then
            return;
        end if;
    end if;
    v_again := v_known <> '{}' and judged = '{}';
    if cardinality(l.credit_accounts) > 0 then
        perform check_credits(l.signature, l.accounts, l.nets, l.credit_accounts, l.credit_invoices, l.credit_units);
    end if;
    if v_again then
        invoices := array(select distinct c.invoice_id from chain_credits c
                          where c.signature = l.signature and c.invoice_id is not null);
        v_paying := p_at_confirmed
                    and exists (select from chain_credits c where c.signature = l.signature and c.paid_units > 0);
    end if;

    for n in 1 .. cardinality(l.accounts) loop
        continue when l.accounts[n] = any (judged);
        insert into chain_payments as p (signature, account, slot, block_time, net_units, state)
        values (l.signature, l.accounts[n], l.slot, l.landed_at, l.nets[n], v_state)
        on conflict (signature, account) do update set
            -- In another slot it landed at another time; but what has paid an invoice paid it when it did.
            seen_at = case when v_paying or p.state <> 'reversed' and p.slot = excluded.slot then p.seen_at
                           else excluded.seen_at end,
            block_time = case when v_paying or p.slot = excluded.slot and excluded.block_time is null then p.block_time
                              else excluded.block_time end,
            slot = excluded.slot, net_units = excluded.net_units, state = excluded.state, updated_at = clock_timestamp();
    end loop;
    if v_again then
        v_turned := change_looked_at(l, v_known, v_state);
    end if;
    for n in 1 .. cardinality(l.credit_accounts) loop
        -- Final accounts' invoices have nothing new.
        continue when l.credit_accounts[n] = any (judged);
        insert into chain_credits (signature, account, invoice_id, units, state)
        values (l.signature, l.credit_accounts[n], l.credit_invoices[n], l.credit_units[n], v_state)
        on conflict (signature, account, invoice_id) do nothing;
        invoices := invoices || l.credit_invoices[n];
    end loop;
    if v_turned then
        perform list_reversals(l.signature);
    end if;
    if l.is_final then
        perform finish_look(l, judged, v_turned);
    end if;
end
$$;

-- Brings what an earlier look recorded in line with this one; whether something of it is taken back, or comes back.
create function change_looked_at(l chain_look, p_known text[], p_state text) returns boolean language plpgsql as $$
declare
    v_turned boolean;
begin
    if not p_known <@ l.accounts then
        update chain_payments p set state = 'reversed', updated_at = clock_timestamp()
        where p.signature = l.signature and p.state <> 'reversed' and p.account <> all (l.accounts);
    end if;
    with seen as (
        update chain_credits c
        set units = case when c.settled_at is null and c.paid_units = 0 then coalesce(n.units, c.units) else c.units end,
            state = case when n.units is null
                              or (c.settled_at is not null or c.paid_units > 0) and n.units <> c.units then 'reversed'
                         else p_state end
        from chain_credits q
        left join unnest(l.credit_accounts, l.credit_invoices, l.credit_units) as n (account, invoice, units)
            on n.account = q.account and n.invoice = q.invoice_id
        where q.signature = l.signature and c.id = q.id
        returning 'reversed' in (q.state, c.state) as turned
    )
    select coalesce(bool_or(s.turned), false) into v_turned from seen s;
    return v_turned;
end
$$;

-- What only a final look tells: what left, and what an operator must know of what an earlier look had settled.
create function finish_look(l chain_look, p_judged text[], p_turned boolean) returns void language plpgsql as $$
begin
    for n in 1 .. cardinality(l.out_accounts) loop
        insert into chain_outflows (signature, account, slot, units)
        values (l.signature, l.out_accounts[n], l.slot, l.out_units[n])
        on conflict do nothing;
    end loop;
    if p_turned then
        insert into unattributed_deposits (signature, account, units, reason, invoice_id)
        select l.signature, c.account, n.units, 'changed_after_settlement', c.invoice_id
        from unnest(l.credit_accounts, l.credit_invoices, l.credit_units) as n (account, invoice, units)
        join chain_credits c on c.signature = l.signature and c.account = n.account and c.invoice_id = n.invoice
        where c.state = 'reversed'
        on conflict do nothing;
    end if;
    -- What came to an account that nobody followed yet is no stray now.
    delete from unattributed_deposits u
    where u.signature = l.signature and u.account = any (l.accounts) and u.account <> all (p_judged)
      and u.reason = 'other_account';
end
$$;

-- Records what transactions did, and settles what they settle, all of it or nothing. Recording the same again changes
-- nothing; a later look (another slot after a fork, or finality) replaces an earlier one until it is final. What is final
-- stays as it is, account by account: one that was added since is added to it. What had settled by an earlier look (which
-- only happens when confirmed payments settle) is never counted anew: if the later look differs, an operator is told of
-- both. The signatures move on with what is recorded. With p_lock_timeout_ms nobody who holds something is waited for for
-- longer.
drop function record_chain_payment(text, bigint, boolean, boolean, text[], bigint[], text[], text[], bigint[],
                                   text[], bigint[], text[], text[], text);
create function record_chain_looks(p_looks jsonb, p_at_confirmed boolean, p_sol_price_micro bigint,
    p_dust_below_micro bigint, p_watcher uuid, p_lock_timeout_ms integer, p_trace text,
    out paid text[], out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_looks      chain_look[];
    v_signatures text[];
    v_credited   text[];
    v_done       record;
    v_invoices   text[] := '{}';
    -- Places of looks, each with an account that was judged before.
    v_judged     text[] := '{}';
begin
    paid := '{}'; topics := '{}'; messages := '{}';
    if p_lock_timeout_ms is not null then
        perform set_config('lock_timeout', p_lock_timeout_ms::text, true);
    end if;
    v_looks := array(select l from jsonb_populate_recordset(null::chain_look, p_looks) as l);
    v_signatures := array(select l.signature from unnest(v_looks) as l);
    v_credited := array(select unnest(l.credit_invoices) from unnest(v_looks) as l);
    perform lock_credited(v_signatures, v_credited);
    for n in 1 .. cardinality(v_looks) loop
        v_done := record_look(v_looks[n], p_at_confirmed);
        v_invoices := v_invoices || v_done.invoices;
        if v_done.judged <> '{}' then
            v_judged := v_judged || array(select n || ' ' || j from unnest(v_done.judged) as j);
        end if;
    end loop;
    if v_invoices <> '{}' then
        select s.paid, s.topics, s.messages into paid, topics, messages
        from settle_chain_invoices(v_invoices, p_at_confirmed, p_sol_price_micro, p_trace) as s;
        if cardinality(topics) > 0 then
            batch_id := keep_events(topics, messages);
        end if;
    end if;
    perform leave_open(o.signature, o.account, o.units, o.reason, o.invoice, o.rail, o.is_gain, p_sol_price_micro,
                       p_dust_below_micro)
    from (select l.signature, o.*, o.account = any (l.accounts) and o.reason <> 'netted_out' as is_gain
          from unnest(v_looks) with ordinality as l,
               unnest(l.open_accounts, l.open_units, l.open_reasons, l.open_invoices, l.open_rails)
                   as o (account, units, reason, invoice, rail)
          where l.is_final and l.ordinality || ' ' || o.account <> all (v_judged)
          order by o.account, l.ordinality) as o;
    -- Last: whoever notes one again waits for this lock.
    perform advance_signature(s.look, p_watcher)
    from (select l as look from unnest(v_looks) as l order by l.signature) as s;
end
$$;

-- Takes a confirmation back that the chain has forgotten.
drop function reverse_chain_payment(text, text);
create function reverse_chain_payment(p_signature text, p_sol_price_micro bigint, p_trace text,
    out reversed boolean, out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_invoices text[];
begin
    perform lock_credited(array[p_signature], '{}');
    update chain_payments p set state = 'reversed', updated_at = clock_timestamp()
    where p.signature = p_signature and p.state = 'confirmed';
    reversed := found;
    if not reversed then
        return;
    end if;
    v_invoices := array(select distinct c.invoice_id from chain_credits c
                        where c.signature = p_signature and c.invoice_id is not null);
    update chain_credits c set state = 'reversed' where c.signature = p_signature and c.state = 'confirmed';
    perform list_reversals(p_signature);
    select s.topics, s.messages into topics, messages
    from settle_chain_invoices(v_invoices, false, p_sol_price_micro, p_trace) as s;
    if cardinality(topics) > 0 then
        batch_id := keep_events(topics, messages);
    end if;
end
$$;

-- Where a window ends that begins after p_from and holds at least p_rows invoices by the end of their grace, see
-- expiry_window.
create function grace_window(p_from timestamptz, p_until timestamptz, p_rows integer) returns timestamptz
language sql stable as $$
    select coalesce(
        (select i.grace_until from invoices i where i.grace_until > p_from and i.grace_until <= p_until
         order by i.grace_until offset p_rows - 1 limit 1),
        p_until)
$$;

-- Ends invoices, and returns their events.
create function end_invoices(p_invoices text[], p_at timestamptz, p_trace text, out topics text[], out messages text[])
language plpgsql as $$
begin
    with due as (
        select i.id from invoices i
        where i.id = any (p_invoices) and i.status = 'pending' and not i.payment_confirming
        order by i.id for update skip locked
    ), swept as (
        update invoices i set status = 'expired', version = i.version + 1
        from due where i.id = due.id
        returning i.id, i.version, i.user_id, i.status, i.amount_micro, i.payments_received_micro
    )
    select array_agg('invoice:' || s.id),
           array_agg(invoice_event('invoice_expired', s.id, s.version, p_trace, s.user_id, s.status, s.amount_micro,
                                   s.payments_received_micro, p_at))
    into topics, messages from swept s;
end
$$;

-- Ends invoices of one deposit account whose time was over when its history was last read: what is not known to have landed
-- in time did not, once everything that was found by then has been looked at. Bounded like the walk by grace.
create function expire_read(p_key text, p_rail text, p_recipient text, p_slot bigint, p_until timestamptz, p_limit integer,
    p_at timestamptz, p_trace text, out topics text[], out messages text[], out has_more boolean)
language plpgsql as $$
declare
    v_last timestamptz := p_until - interval '1 microsecond';
    v_from timestamptz;
    v_next timestamptz;
begin
    has_more := false;
    if exists (select from chain_signatures s where s.state = 'found' and s.note is null and s.slot <= p_slot) then
        return;
    end if;
    insert into sweep_cursors (name, at) values ('read:' || p_key, p_at - interval '1 hour') on conflict do nothing;
    select c.at into v_from from sweep_cursors c where c.name = 'read:' || p_key for update;
    v_next := expiry_window(v_from, v_last, 2000);
    if v_next <= v_from then
        return;
    end if;
    select e.topics, e.messages into topics, messages from end_invoices(array(
        select i.id from invoices i
        where i.expires_at > v_from and i.expires_at <= v_next and i.status = 'pending' and not i.payment_confirming
          and i.rail = p_rail and i.address = p_recipient
        order by i.expires_at limit p_limit), p_at, p_trace) as e;
    has_more := v_next < v_last or coalesce(cardinality(topics), 0) >= p_limit;
    -- What somebody holds is waited for, but not by all those behind it: its grace ends, too.
    update sweep_cursors c set at = least(v_next, case when topics is not null or v_next = v_last then
        (select min(i.expires_at) - interval '1 microsecond' from invoices i
         where i.expires_at > v_from and i.expires_at <= v_next and i.status = 'pending' and not i.payment_confirming
           and i.rail = p_rail and i.address = p_recipient)
    end)
    where c.name = 'read:' || p_key;
end
$$;

-- Expires overdue invoices, some at a time, in one worker at a time; rows that somebody holds are left for the next call.
-- They end as soon as their account's history was read past their time, and with their grace at the latest.
-- No index names the status (see invoices_by_grace), so the scan starts where the last one ended; a second,
-- slow round over all older invoices finds what the first should have and did not.
create or replace function expire_invoices(p_limit integer, p_trace text,
    out expired integer, out has_more boolean, out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_at          timestamptz := clock_timestamp();
    v_from        timestamptz;
    v_until       timestamptz;
    v_round       timestamptz;
    v_round_until timestamptz;
    v_count       integer;
    v_key         record;
    v_read        record;
begin
    expired := 0;
    has_more := false;
    select c.at into v_from from sweep_cursors c where c.name = 'expiry' for update skip locked;
    if not found then
        return;
    end if;
    select c.at into v_round from sweep_cursors c where c.name = 'expiry_round';
    v_until := grace_window(v_from, v_at, 5000);
    -- The last seconds are read again each time (see below), and so must be read whole.
    if v_until > v_at - interval '5 seconds' then
        v_until := v_at;
    end if;
    v_round_until := grace_window(v_round, v_at, 2000);
    select e.topics, e.messages into topics, messages from end_invoices(array(
        select o.id from (
            select i.id from invoices i
            where i.grace_until > v_from and i.grace_until <= v_until and i.status = 'pending' and not i.payment_confirming
            union
            select i.id from invoices i
            where i.grace_until > v_round and i.grace_until <= v_round_until and i.status = 'pending'
              and not i.payment_confirming) as o
        order by o.id limit p_limit), v_at, p_trace) as e;
    v_count := coalesce(cardinality(topics), 0);
    has_more := v_count >= p_limit or v_until < v_at;
    -- Five seconds of slack: no invoice is created that late before its own expiry. What somebody holds is waited for, but
    -- not by all those behind it.
    update sweep_cursors c set at = greatest(c.at, least(
        v_until, v_at - interval '5 seconds',
        case when v_count > 0 or v_until = v_at then
            (select min(i.grace_until) - interval '1 microsecond' from invoices i
             where i.grace_until > v_from and i.grace_until <= v_until and i.status = 'pending'
               and not i.payment_confirming)
        end))
    where c.name = 'expiry';
    update sweep_cursors c set at = case when v_round_until = v_at then '-infinity' else v_round_until end
    where c.name = 'expiry_round';

    for v_key in
        select k.key, d.rail, d.recipient, k.read_slot, least(k.read_until, v_at) as read_until
        from watched_keys k join deposit_accounts d on d.account = k.key
        where k.read_until is not null and k.read_slot is not null order by k.key
    loop
        exit when v_count >= p_limit;
        select * into v_read from expire_read(v_key.key, v_key.rail, v_key.recipient, v_key.read_slot, v_key.read_until,
                                              p_limit - v_count, v_at, p_trace);
        v_count := v_count + coalesce(cardinality(v_read.topics), 0);
        topics := topics || v_read.topics; messages := messages || v_read.messages;
        has_more := has_more or v_read.has_more;
    end loop;
    expired := v_count;
    if expired > 0 then
        batch_id := keep_events(topics, messages);
    end if;
end
$$;

-- The sweep passes invoices whose payment is being confirmed. When it comes to nothing, the sweep must look again; the lock
-- keeps one that is under way, and may have seen the payment still, from going past it once more.
create or replace function expiry_looks_again() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from sweep_cursors c where c.name = 'expiry' for update;
    update sweep_cursors c set at = new.grace_until - interval '1 microsecond'
    where c.name = 'expiry' and c.at >= new.grace_until;
    update sweep_cursors c set at = new.expires_at - interval '1 microsecond'
    from deposit_accounts d
    where d.rail = new.rail and d.recipient = new.address and c.name = 'read:' || d.account and c.at >= new.expires_at;
    return null;
end
$$;

revoke execute on function
    units_remaining(invoices), lock_credited(text[], text[]), list_reversals(text),
    check_credits(text, text[], bigint[], text[], text[], bigint[]), advance_signature(chain_look, uuid),
    leave_open(text, text, numeric, text, text, text, boolean, bigint, bigint),
    record_look(chain_look, boolean), change_looked_at(chain_look, text[], text), finish_look(chain_look, text[], boolean),
    record_chain_looks(jsonb, boolean, bigint, bigint, uuid, integer, text),
    reverse_chain_payment(text, bigint, text), grace_window(timestamptz, timestamptz, integer),
    end_invoices(text[], timestamptz, text),
    expire_read(text, text, text, bigint, timestamptz, integer, timestamptz, text)
    from public;
grant execute on function units_remaining(invoices) to quittance_api;
grant execute on function
    record_chain_looks(jsonb, boolean, bigint, bigint, uuid, integer, text), reverse_chain_payment(text, bigint, text)
    to quittance_watcher;
