-- Outbox: every event is written in the transaction that caused it, and published to Redis after commit.

-- One row per transaction that caused events, with what subscribers of each topic receive:
-- {kind, position, previous, trace_id, data}, as text, since nobody looks inside before it is read back as it was.
create table outbox_batches (
    id           bigint generated always as identity primary key,
    created_at   timestamptz not null default now(),
    published_at timestamptz,
    topics       text[] not null,
    messages     text[] not null,
    constraint outbox_batches_complete check (cardinality(topics) = cardinality(messages))
) with (fillfactor = 70);
-- Compressing them costs more than writing them.
alter table outbox_batches alter topics set storage external, alter messages set storage external;
create index outbox_batches_unpublished on outbox_batches (id) where published_at is null;

-- Event by event.
create view outbox as
    select b.id as batch_id, e.id::integer as id, e.topic, e.message::json as message
    from outbox_batches b, unnest(b.topics, b.messages) with ordinality as e (topic, message, id);

grant select on outbox_batches, outbox to quittance_api, quittance_worker, quittance_watcher;
