-- What watchers examine, and how far they are with it.

-- Looks at one transaction take turns. Looks from two forks may have no row in common, so no row is locked.
create or replace function lock_signature(p_signature text) returns void
language sql as $$
    select pg_advisory_xact_lock(hashtextextended(p_signature, 0))
$$;

-- Whether noting a signature that is known is news: what is found already is only hurried, if it waits. What was dropped
-- comes back, and so does what was judged before all of today's accounts were known; what could never be read does when
-- somebody hands it in.
create or replace function is_news(s chain_signatures, p_slot bigint, p_priority smallint, p_accounts integer) returns boolean
language sql immutable as $$
    select s.state = 'dropped'
        or s.state = 'found' and (s.priority < p_priority or s.slot is null and p_slot is not null)
        or s.state = 'done' and (s.accounts_known < p_accounts or s.note is not null and p_priority > 1)
$$;

-- Notes signatures to examine.
create or replace function note_signatures(p_signatures text[], p_slots bigint[], p_source text, p_priority smallint)
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
create or replace function take_signatures(p_state text, p_limit integer, p_hold interval, p_watcher uuid, p_root bigint default null)
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

-- Makes due what was taken by watchers that have not said for p_lease that they live.
create or replace function release_signatures(p_lease interval) returns bigint
language sql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    with orphans as (
        select s.signature from chain_signatures s
        where s.taken_by is not null
          and not exists (select from watchers w where w.id = s.taken_by and w.seen_at > now() - p_lease)
        for update skip locked
    ), released as (
        update chain_signatures s set next_at = least(s.next_at, now()), taken_by = null
        from orphans o where s.signature = o.signature
        returning 1
    )
    select count(*) from released
$$;

-- What was found is followed once it is recorded, and done with once it is final; only whoever holds it may say so.
create or replace function advance_signature(l chain_look, p_watcher uuid) returns void language plpgsql as $$
begin
    update chain_signatures s
    set state = case when l.is_final then 'done' else 'confirmed' end, slot = l.slot, attempts = 0, next_at = now(),
        note = null, absences = 0, absent_since = null, taken_by = null, accounts_known = l.accounts_known
    where s.signature = l.signature and s.taken_by = p_watcher and (l.is_final or s.state = 'found');
end
$$;

-- Takes what was dropped and is to be asked for once more.
create or replace function take_dropped(p_limit integer, p_hold interval)
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
create or replace function first_undecided_slot() returns bigint
language sql stable security definer set search_path = public, pg_temp as $$
    select min(s.slot) from chain_signatures s
    where s.state in ('found', 'confirmed') and s.note is null
$$;

-- What could be read after all waits for nobody.
create or replace function strike_off_unread() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from unattributed_deposits u
    where u.signature = new.signature and u.account is null and u.resolved_at is null;
    return null;
end
$$;

create or replace trigger chain_signatures_read after update of note on chain_signatures
    for each row when (old.note is not null and new.note is null) execute function strike_off_unread();

revoke execute on function
    lock_signature(text), is_news(chain_signatures, bigint, smallint, integer),
    note_signatures(text[], bigint[], text, smallint), take_signatures(text, integer, interval, uuid, bigint),
    release_signatures(interval), advance_signature(chain_look, uuid), take_dropped(integer, interval),
    first_undecided_slot(), strike_off_unread()
    from public;

grant execute on function
    note_signatures(text[], bigint[], text, smallint)
    to quittance_api, quittance_watcher, quittance_worker;

grant execute on function
    take_signatures(text, integer, interval, uuid, bigint), release_signatures(interval), take_dropped(integer, interval),
    first_undecided_slot()
    to quittance_watcher;
