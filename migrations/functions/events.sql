-- Events: kept in the transaction that caused them, published after it.

-- Whole seconds since 1970.
create or replace function unix_seconds(at timestamptz) returns bigint language sql stable as $$
    select floor(extract(epoch from at))::bigint
$$;

-- Keeps the events of a transaction; returns their batch.
create or replace function keep_events(p_topics text[], p_messages text[]) returns bigint language plpgsql as $$
declare
    v_batch bigint;
begin
    insert into outbox_batches (topics, messages) values (p_topics, p_messages) returning id into v_batch;
    return v_batch;
end
$$;

-- Keeps one transaction's events and returns them for publishing.
create or replace function emit_events(p_topics text[], p_messages jsonb[],
    out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if cardinality(p_topics) = 0 then
        return;
    end if;
    topics := p_topics;
    messages := p_messages::text[];
    batch_id := keep_events(topics, messages);
end
$$;

-- Marks batches as published. Losing this commit only means publishing twice, so it need not wait for the disk.
create or replace function mark_published(p_batches bigint[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update outbox_batches set published_at = clock_timestamp()
    where id = any (p_batches) and published_at is null;
end
$$;

-- Batches whose publisher died before or after publishing them, oldest first.
create or replace function unpublished_events(p_older_than interval, p_limit integer)
returns table (batch_id bigint, topics text[], messages text[])
language sql stable security definer set search_path = public, pg_temp as $$
    select o.id, o.topics, o.messages from outbox_batches o
    where o.published_at is null and o.created_at < now() - p_older_than
    order by o.id limit p_limit
$$;

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

revoke execute on function
    unix_seconds(timestamptz), keep_events(text[], text[]), emit_events(text[], jsonb[]), mark_published(bigint[]),
    unpublished_events(interval, integer), retire_events(timestamptz, integer)
    from public;

grant execute on function
    unix_seconds(timestamptz), mark_published(bigint[])
    to quittance_api, quittance_watcher, quittance_worker;

grant execute on function
    unpublished_events(interval, integer), retire_events(timestamptz, integer)
    to quittance_worker;
