-- Outbox: every event is written in the transaction that caused it, and published to Redis after commit.

-- One row per transaction that caused events: publishing is marked here, so that an event costs one write.
create table outbox_batches (
    id           bigint generated always as identity primary key,
    created_at   timestamptz not null default now(),
    published_at timestamptz
) with (fillfactor = 70);
create index outbox_batches_unpublished on outbox_batches (id) where published_at is null;

-- message is what subscribers of topic receive: {kind, position, previous, trace_id, data}.
create table outbox (
    id       bigint generated always as identity primary key,
    batch_id bigint not null,
    topic    text not null,
    message  jsonb not null
);
create index outbox_by_batch on outbox (batch_id);

create function unix_seconds(at timestamptz) returns bigint language sql immutable as $$
    select floor(extract(epoch from at))::bigint
$$;

-- The invoice envelope of the console contract (zero and empty fields left out), with its stream position.
create function invoice_message(i invoices, kind text, trace_id text, at timestamptz)
returns jsonb language sql immutable as $$
    select jsonb_build_object(
        'kind', kind, 'position', i.version, 'previous', i.version - 1, 'trace_id', trace_id,
        'data', jsonb_strip_nulls(jsonb_build_object(
            'kind', kind, 'invoice_id', i.id, 'user_id', i.user_id, 'status', i.status,
            'amount_micro', i.amount_micro,
            'payments_received_micro', nullif(i.payments_received_micro, 0),
            'at', unix_seconds(at))))
$$;

-- The balance envelope of the console contract, with its stream position.
create function balance_message(t transfers, previous bigint, trace_id text)
returns jsonb language sql immutable as $$
    select jsonb_build_object(
        'kind', kind, 'position', t.id, 'previous', previous, 'trace_id', trace_id,
        'data', jsonb_build_object(
            'kind', kind, 'user_id', t.user_id, 'delta_micro', delta_micro,
            'new_balance', t.user_balance_after, 'at', unix_seconds(t.at))
            || case when t.ref_invoice_id is null then '{}'::jsonb
                    else jsonb_build_object('ref_invoice_id', t.ref_invoice_id) end)
    from (select user_delta_micro(t) as delta_micro,
                 case when user_delta_micro(t) < 0 then 'balance_debit' else 'balance_credit' end as kind) as d
$$;

-- Marks batches as published. Losing this commit only means publishing twice, so it need not wait for the disk.
create function mark_published(p_batches bigint[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update outbox_batches set published_at = clock_timestamp()
    where id = any (p_batches) and published_at is null;
end
$$;

-- Events whose publisher died before or after publishing them, oldest first.
create function unpublished_events(p_older_than interval, p_limit integer)
returns table (batch_id bigint, topic text, message text)
language sql stable security definer set search_path = public, pg_temp as $$
    select o.batch_id, o.topic, o.message::text
    from outbox o
    join (select b.id from outbox_batches b
          where b.published_at is null and b.created_at < now() - p_older_than
          order by b.id limit p_limit) due on due.id = o.batch_id
    order by o.id
$$;

-- Deletes published events older than the retention, some at a time; returns how many batches went.
create function retire_events(p_before timestamptz, p_limit integer) returns bigint
language sql security definer set search_path = public, pg_temp as $$
    with old as (
        select id from outbox_batches where published_at is not null and created_at < p_before
        order by id limit p_limit for update skip locked
    ), events as (
        delete from outbox o using old where o.batch_id = old.id
    ), batches as (
        delete from outbox_batches b using old where b.id = old.id returning b.id
    )
    select count(*) from batches
$$;
