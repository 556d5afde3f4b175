-- How watchers find, follow and give up what they examine.

-- Whether noting a signature that is known is news: what is found already is only hurried, if it waits. What was dropped
-- comes back, and so does what was judged before all of today's accounts were known; what could never be read does when
-- somebody hands it in.
create function is_news(s chain_signatures, p_slot bigint, p_priority smallint, p_accounts integer) returns boolean
language sql immutable as $$
    select s.state = 'dropped'
        or s.state = 'found' and (s.priority < p_priority or s.slot is null and p_slot is not null)
        or s.state = 'done' and (s.accounts_known < p_accounts or s.note is not null and p_priority > 1)
$$;

-- Notes signatures to examine.
drop function note_signatures(text[], bigint[], text, smallint);
create function note_signatures(p_signatures text[], p_slots bigint[], p_source text, p_priority smallint)
returns integer language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_accounts integer := (select count(*) from deposit_accounts);
    v_noted    integer;
begin
    insert into chain_signatures as s (signature, slot, source, priority)
    select distinct on (n.signature) n.signature, n.slot, p_source, p_priority
    from unnest(p_signatures, p_slots) as n (signature, slot)
    -- A conflict locks the row, which writes it: histories are read again and again.
    where not exists (select from chain_signatures k
                      where k.signature = n.signature and not is_news(k, n.slot, p_priority, v_accounts))
    order by n.signature
    on conflict (signature) do update set
        slot = coalesce(excluded.slot, s.slot), state = 'found', attempts = 0, absences = 0, absent_since = null,
        priority = greatest(s.priority, excluded.priority), next_at = least(s.next_at, excluded.next_at)
    where is_news(s, excluded.slot, excluded.priority, v_accounts);
    get diagnostics v_noted = row_count;
    return v_noted;
end
$$;

-- Takes signatures in one state to examine them; if whoever took them dies unnoticed, they are due again after p_hold. With
-- p_root only those that have landed by then.
drop function take_signatures(text, integer, interval, uuid);
create function take_signatures(p_state text, p_limit integer, p_hold interval, p_watcher uuid, p_root bigint default null)
returns table (signature text, slot bigint, attempts integer, found_at timestamptz)
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    return query
    with due as (
        select s.signature from chain_signatures s
        -- Said in the words of the partial index, and by a clock that stands still: else the planner reads the table.
        where s.state = p_state and s.state in ('found', 'confirmed') and s.next_at <= now()
          and (p_root is null or s.slot <= p_root)
        order by s.priority desc, s.next_at limit p_limit for update skip locked
    )
    update chain_signatures s
    set next_at = clock_timestamp() + p_hold, attempts = s.attempts + 1, taken_by = p_watcher
    where s.signature = any (array(select d.signature from due d))
    returning s.signature, s.slot, s.attempts, s.found_at;
end
$$;

-- Takes what was dropped and is to be asked for once more.
create function take_dropped(p_limit integer, p_hold interval)
returns table (signature text, attempts integer, found_at timestamptz)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    return query
    with due as (
        select s.signature from chain_signatures s
        where s.state = 'dropped' and s.next_at < 'infinity' and s.next_at <= now()
        order by s.next_at limit p_limit for update skip locked
    )
    update chain_signatures s set next_at = clock_timestamp() + p_hold, attempts = s.attempts + 1
    where s.signature = any (array(select d.signature from due d))
    returning s.signature, s.attempts, s.found_at;
end
$$;

-- The first slot in which something is not decided yet: nothing before it is missing. What waits for an operator because it
-- cannot be read is listed, and holds nobody up.
create function first_undecided_slot() returns bigint
language sql stable security definer set search_path = public, pg_temp as $$
    select min(s.slot) from chain_signatures s
    where s.state in ('found', 'confirmed') and s.note is null
$$;

-- Takes invoices whose reference is due for a look-up; after p_hold they are due again, unless that is planned otherwise.
-- Half of them are the ones due last, so that a backlog of old invoices does not hold up the young. What a look-up cannot
-- find any more is forgotten: a paid invoice's account is followed anyway, and so is that of one long ended.
drop function take_references(integer, integer);
create function take_references(p_limit integer, p_days integer, p_hold interval)
returns table (invoice_id text, reference text)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from reference_sweeps s using invoices i
    where s.invoice_id in (select d.invoice_id from reference_sweeps d where d.next_at <= now() order by d.next_at limit 2000)
      and i.id = s.invoice_id
      and (i.status = 'paid' or i.status <> 'pending' and i.expires_at < now() - make_interval(days => p_days));
    return query
    with oldest as (
        select s.invoice_id from reference_sweeps s where s.next_at <= now()
        order by s.next_at limit p_limit / 2 for update skip locked
    ), newest as (
        select s.invoice_id from reference_sweeps s where s.next_at <= now()
        order by s.next_at desc limit p_limit - p_limit / 2 for update skip locked
    )
    update reference_sweeps s set next_at = clock_timestamp() + p_hold
    from invoices i
    where s.invoice_id = any (array(select o.invoice_id from oldest o union select n.invoice_id from newest n))
      and i.id = s.invoice_id
    returning s.invoice_id, i.reference_pubkey;
end
$$;

-- Plans the next look-ups of invoices whose references were looked up: often while they are young, ever more rarely after
-- their end.
create function plan_references(p_invoices text[]) returns void
language sql security definer set search_path = public, pg_temp as $$
    update reference_sweeps s set next_at = clock_timestamp() + case
        when i.status <> 'pending' then greatest(clock_timestamp() - i.expires_at, interval '1 hour')
        when i.created_at > clock_timestamp() - interval '2 minutes' then interval '10 seconds'
        when i.created_at > clock_timestamp() - interval '1 hour' then interval '1 minute'
        else interval '15 minutes'
    end
    from invoices i where s.invoice_id = any (p_invoices) and i.id = s.invoice_id
$$;

-- Makes look-ups that failed due again soon.
create function postpone_references(p_invoices text[], p_pause interval) returns void
language sql security definer set search_path = public, pg_temp as $$
    update reference_sweeps s set next_at = clock_timestamp() + p_pause where s.invoice_id = any (p_invoices)
$$;

-- One check each, by a function that stays compiled (see invoice_is_sound).
create function chain_payment_is_sound(net_units bigint, state text, dust_units bigint) returns boolean
language plpgsql immutable as $$
begin
    return (
        net_units > 0 and dust_units between 0 and net_units
        and state in ('confirmed', 'finalized', 'reversed')
    ) is true;
end
$$;
alter table chain_payments
    drop constraint chain_payments_net_positive, drop constraint chain_payments_state_known,
    drop constraint chain_payments_dust_in_bounds,
    add constraint chain_payments_sound check (chain_payment_is_sound(net_units, state, dust_units));

create function chain_credit_is_sound(invoice_id text, user_id uuid, units bigint, paid_units bigint, state text,
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
alter table chain_credits
    drop constraint chain_credits_for_one, drop constraint chain_credits_units_positive,
    drop constraint chain_credits_paid_in_bounds, drop constraint chain_credits_state_known,
    drop constraint chain_credits_worth_not_negative, drop constraint chain_credits_settled_complete,
    drop constraint chain_credits_wait_known,
    add constraint chain_credits_sound check (chain_credit_is_sound(
        invoice_id, user_id, units, paid_units, state, worth_micro, settled_at, waits_for));

grant update (reason, detail) on unattributed_deposits to quittance_watcher;
revoke execute on function
    chain_payment_is_sound(bigint, text, bigint),
    chain_credit_is_sound(text, uuid, bigint, bigint, text, bigint, timestamptz, text),
    is_news(chain_signatures, bigint, smallint, integer), note_signatures(text[], bigint[], text, smallint),
    take_signatures(text, integer, interval, uuid, bigint), take_dropped(integer, interval), first_undecided_slot(),
    take_references(integer, integer, interval), plan_references(text[]), postpone_references(text[], interval)
    from public;
grant execute on function note_signatures(text[], bigint[], text, smallint)
    to quittance_api, quittance_worker, quittance_watcher;
grant execute on function
    take_signatures(text, integer, interval, uuid, bigint), take_dropped(integer, interval), first_undecided_slot(),
    take_references(integer, integer, interval), plan_references(text[]), postpone_references(text[], interval)
    to quittance_watcher;
