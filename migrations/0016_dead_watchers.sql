-- Who examines a signature: what a dead watcher held is due as soon as its lease is over.
alter table chain_signatures add column taken_by uuid;
create index chain_signatures_taken on chain_signatures (taken_by) where taken_by is not null;
-- Else the planner takes nearly all rows for taken ones.
analyze chain_signatures (taken_by);
grant update (taken_by) on chain_signatures to quittance_watcher;

-- Takes signatures in one state to examine them; if whoever took them dies unnoticed, they are due again after p_hold.
drop function take_signatures(text, integer, interval);
create function take_signatures(p_state text, p_limit integer, p_hold interval, p_watcher uuid default null)
returns table (signature text, slot bigint, source text, attempts integer, found_at timestamptz)
language sql security definer set search_path = public, pg_temp as $$
    with due as (
        select s.signature from chain_signatures s
        -- Said in the words of the partial index, and by a clock that stands still: else the planner reads the table.
        where s.state = p_state and s.state in ('found', 'confirmed') and s.next_at <= now()
        order by s.priority desc, s.next_at limit p_limit for update skip locked
    )
    update chain_signatures s
    set next_at = clock_timestamp() + p_hold, attempts = s.attempts + 1, taken_by = p_watcher
    where s.signature = any (array(select d.signature from due d))
    returning s.signature, s.slot, s.source, s.attempts, s.found_at
$$;

-- Makes due what was taken by watchers that have not said for p_lease that they live.
create function release_signatures(p_lease interval) returns bigint
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

revoke execute on function take_signatures(text, integer, interval, uuid), release_signatures(interval) from public;
grant execute on function take_signatures(text, integer, interval, uuid), release_signatures(interval)
    to quittance_watcher;
