-- Invoices and what paying them activates.

-- fillfactor: every invoice changes once, and finds room on its page then, so that no index entry is renewed. For the same
-- reason no index names a column that settlement changes.
create table invoices (
    id                      text collate "C" primary key,
    user_id                 uuid not null references users (id),
    -- pending, paid, expired, cancelled
    status                  text not null default 'pending',
    -- Counts the events of the invoice stream; the snapshot carries it as its position.
    version                 bigint not null default 1,
    amount_micro            bigint not null,
    payments_received_micro bigint not null default 0,
    description             text not null default '',
    channel                 text not null,
    rail                    text not null,
    action                  text not null,
    plan                    text,
    months                  smallint,
    client_request_id       text,
    -- SHA-256 of the creating request, so that the same id with another body is noticed.
    client_request_hash     bytea,
    -- Locked price of one whole token in micro-USD; null for rails whose token is a dollar.
    fx_micro_per_token      bigint,
    address                 text not null,
    -- Names one invoice for ever.
    reference_pubkey        text not null,
    created_at              timestamptz not null default now(),
    expires_at              timestamptz not null,
    -- Until when an invoice whose time is over still waits for what its rail's history may show of before: at the latest.
    -- On a rail that nobody follows it is the end itself.
    grace_until             timestamptz not null,
    paid_at                 timestamptz,
    processed_at            timestamptz,
    -- The whole price was seen and is not final yet: the invoice does not expire before that is decided.
    payment_confirming      boolean not null default false,
    -- Final parts of its price wait for the others, or for its end.
    has_parts               boolean not null default false
) with (fillfactor = 50);
-- Declared here, told in functions/invoices.sql.
create function invoice_is_sound(i invoices) returns boolean language sql immutable as 'select true';
alter table invoices add constraint invoices_sound check (invoice_is_sound(invoices));
create index invoices_by_user on invoices (user_id, created_at desc, id desc);
create index invoices_by_expiry on invoices (expires_at);
create index invoices_by_grace on invoices (grace_until);
create unique index invoices_client_request on invoices (user_id, client_request_id)
    where client_request_id is not null;
create unique index invoices_by_reference on invoices (reference_pubkey);

-- One row per user and plan. active_until = anchor_at + months_total: counting months from one anchor
-- makes renewals add up the same one by one and in a batch, without month-end drift.
create table subscriptions (
    user_id          uuid not null references users (id),
    plan             text not null,
    anchor_at        timestamptz not null,
    months_total     integer not null check (months_total > 0),
    -- Ever bought; never falls. The audit compares it with the paid invoices.
    months_purchased bigint not null check (months_purchased > 0),
    active_until     timestamptz not null,
    updated_at       timestamptz not null,
    primary key (user_id, plan)
) with (fillfactor = 70);

grant select on invoices, subscriptions to quittance_api, quittance_worker, quittance_watcher;
grant insert (id, user_id, amount_micro, description, channel, rail, action, plan, months, client_request_id,
              client_request_hash, fx_micro_per_token, address, reference_pubkey, created_at, expires_at, grace_until)
    on invoices to quittance_api;
