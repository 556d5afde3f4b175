-- Invoices and what paying them activates.

create table invoices (
    id                       text collate "C" primary key
        constraint invoices_id_form check (id ~ '^inv_[0-9a-f]{16}$'),
    user_id                  uuid not null references users (id),
    status                   text not null default 'pending'
        constraint invoices_status_known check (status in ('pending', 'paid', 'expired', 'cancelled')),
    -- Counts the events of the invoice stream; the snapshot carries it as its position.
    version                  bigint not null default 1,
    amount_micro             bigint not null
        constraint invoices_amount_bounds check (amount_micro between 1 and 9007199254740991),
    payments_received_micro  bigint not null default 0
        constraint invoices_received_not_negative check (payments_received_micro >= 0),
    description              text not null default '',
    channel                  text not null
        constraint invoices_channel_known check (channel in ('crypto-onchain', 'crypto-inapp')),
    rail                     text not null
        constraint invoices_rail_known check (rail in (
            'sol-native', 'sol-spl-usdc', 'sol-spl-usdt', 'tron-usdt', 'tron-usdc', 'eth-usdt', 'eth-usdc',
            'bsc-usdt', 'bsc-usdc', 'polygon-usdc', 'polygon-usdt')),
    action                   text not null
        constraint invoices_action_known check (action in ('subscription_purchase', 'subscription_renew', 'topup')),
    plan                     text
        constraint invoices_plan_known check (plan in ('starter', 'growth', 'scale')),
    months                   smallint,
    client_request_id        text,
    -- SHA-256 of the creating request, so that the same id with another body is noticed.
    client_request_hash      bytea,
    -- Locked price of one whole token in micro-USD; null for rails whose token is a dollar.
    fx_micro_per_token       bigint constraint invoices_fx_positive check (fx_micro_per_token > 0),
    address                  text not null,
    reference_pubkey         text not null,
    created_at               timestamptz not null default now(),
    expires_at               timestamptz not null,
    paid_at                  timestamptz,
    processed_at             timestamptz,
    constraint invoices_expiry_after_creation check (expires_at > created_at and isfinite(expires_at)),
    constraint invoices_action_complete check (
        case when action = 'topup' then plan is null and months is null
             else plan is not null and months in (1, 3, 6, 12) end
    ),
    constraint invoices_paid_has_times check (
        (status = 'paid') = (paid_at is not null) and (status = 'paid') = (processed_at is not null)
    ),
    constraint invoices_request_hashed check ((client_request_id is null) = (client_request_hash is null))
) with (fillfactor = 80);

-- No index names a column that settlement changes, so that paying stays a HOT update.
create index invoices_by_user on invoices (user_id, created_at desc, id desc);
create index invoices_by_expiry on invoices (expires_at);
create unique index invoices_client_request on invoices (user_id, client_request_id)
    where client_request_id is not null;

create function refuse_leaving_terminal() returns trigger language plpgsql as $$
begin
    raise exception 'invoice % is % and stays so', old.id, old.status using errcode = 'restrict_violation';
end
$$;

create trigger invoices_terminal before update on invoices
    for each row when (old.status <> 'pending' and new.status is distinct from old.status)
    execute function refuse_leaving_terminal();

-- Past its expiry a pending invoice counts as expired, swept or not.
create function effective_status(i invoices, at timestamptz) returns text language sql immutable as $$
    select case when i.status = 'pending' and i.expires_at <= at then 'expired' else i.status end
$$;

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
