-- Old events are deleted from the head of the outbox, where they are: looking for them by their age reads all that there is.
create or replace function retire_events(p_before timestamptz, p_limit integer) returns bigint
language sql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    with head as (
        select id, published_at, created_at from outbox_batches order by id limit p_limit
    ), old as (
        select b.id from outbox_batches b
        where b.id in (select h.id from head h where h.published_at is not null and h.created_at < p_before)
        order by b.id for update skip locked
    ), gone as (
        delete from outbox_batches b using old where b.id = old.id returning b.id
    )
    select count(*) from gone
$$;
