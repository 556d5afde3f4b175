-- What transactions on chain did. Lock order everywhere: the signature, invoices by id, balances by user, dust by account.
-- Credits are written under their invoice's lock: their foreign key takes a weak lock on it, and two that held one each
-- would wait for each other for the strong one.

-- One check each, by a function that stays compiled (see invoice_is_sound).
create or replace function chain_payment_is_sound(net_units bigint, state text, dust_units bigint) returns boolean
language plpgsql immutable as $$
begin
    return (
        net_units > 0 and dust_units between 0 and net_units
        and state in ('confirmed', 'finalized', 'reversed')
    ) is true;
end
$$;

-- The same for credits.
create or replace function chain_credit_is_sound(invoice_id text, user_id uuid, units bigint, paid_units bigint, state text,
    worth_micro bigint, settled_at timestamptz, waits_for text) returns boolean
language plpgsql immutable as $$
begin
    return (
        -- It is for an invoice, or for a user to whom an operator gave a deposit.
        (invoice_id is null) <> (user_id is null)
        and units > 0 and paid_units between 0 and units
        and state in ('confirmed', 'finalized', 'reversed')
        and (worth_micro is null) = (settled_at is null) and (worth_micro is null or worth_micro >= 0)
        and (waits_for is null or waits_for in ('awaiting_price', 'not_creditable'))
    ) is true;
end
$$;

-- Locks transactions, the invoices that they were for, and more of them, in the order that holds everywhere.
create or replace function lock_credited(p_signatures text[], p_more text[]) returns void language plpgsql as $$
begin
    perform lock_signature(t.signature)
    from (select distinct u.signature from unnest(p_signatures) as u (signature) order by u.signature) as t;
    perform from invoices i
    where i.id = any (array(select c.invoice_id from chain_credits c
                            where c.signature = any (p_signatures) and c.invoice_id is not null) || p_more)
    order by i.id for update;
end
$$;

-- Refuses credits for more than was moved, and for invoices of other accounts: nothing has been written then.
create or replace function check_credits(p_signature text, p_accounts text[], p_nets bigint[],
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

-- Lists money of a transaction that had settled and is gone, for an operator; strikes off what came back.
create or replace function list_reversals(p_signature text) returns void language plpgsql as $$
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

-- Lists what a final transaction left open on one account; what is worth too little is counted there instead.
create or replace function leave_open(p_signature text, p_account text, p_units numeric, p_reason text, p_invoice text, p_rail text,
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

-- Brings what an earlier look recorded in line with this one; whether something of it is taken back, or comes back.
create or replace function change_looked_at(l chain_look, p_known text[], p_state text) returns boolean language plpgsql as $$
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
create or replace function finish_look(l chain_look, p_judged text[], p_turned boolean) returns void language plpgsql as $$
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

-- Writes down what a look showed, for record_chain_looks; returns the invoices that it is news for, and the accounts whose
-- judgement stands.
create or replace function record_look(l chain_look, p_at_confirmed boolean, out invoices text[], out judged text[])
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

-- Records what transactions did, and settles what they settle, all of it or nothing. Recording the same again changes
-- nothing; a later look (another slot after a fork, or finality) replaces an earlier one until it is final. What is final
-- stays as it is, account by account: one that was added since is added to it. What had settled by an earlier look (which
-- only happens when confirmed payments settle) is never counted anew: if the later look differs, an operator is told of
-- both. The signatures move on with what is recorded. With p_lock_timeout_ms nobody who holds something is waited for for
-- longer.
create or replace function record_chain_looks(p_looks jsonb, p_at_confirmed boolean, p_sol_price_micro bigint,
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
create or replace function reverse_chain_payment(p_signature text, p_sol_price_micro bigint, p_trace text,
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

revoke execute on function
    chain_payment_is_sound(bigint, text, bigint),
    chain_credit_is_sound(text, uuid, bigint, bigint, text, bigint, timestamptz, text), lock_credited(text[], text[]),
    check_credits(text, text[], bigint[], text[], text[], bigint[]), list_reversals(text),
    leave_open(text, text, numeric, text, text, text, boolean, bigint, bigint),
    change_looked_at(chain_look, text[], text), finish_look(chain_look, text[], boolean), record_look(chain_look, boolean),
    record_chain_looks(jsonb, boolean, bigint, bigint, uuid, integer, text), reverse_chain_payment(text, bigint, text)
    from public;

grant execute on function
    record_chain_looks(jsonb, boolean, bigint, bigint, uuid, integer, text), reverse_chain_payment(text, bigint, text)
    to quittance_watcher;
