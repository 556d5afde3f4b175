-- Sessions, and what operators see and do.

-- Only the SHA-256 of the cookies' tokens is kept.
create table sessions (
    token_hash bytea primary key check (length(token_hash) = 32),
    csrf_hash  bytea not null check (length(csrf_hash) = 32),
    user_id    uuid not null references users (id),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sessions_by_user on sessions (user_id);
create index sessions_by_expiry on sessions (expires_at);

create table operator_actions (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    action   text not null,
    target   text not null,
    detail   jsonb not null,
    outcome  text not null,
    trace_id text not null
);
create trigger operator_actions_immutable before update or delete on operator_actions
    for each row execute function refuse_change();

create trigger operator_actions_not_truncated before truncate on operator_actions
    for each statement execute function refuse_change();

-- Jobs taken off their queue because they need a human: undecodable, or delivered too often.
create table parked_jobs (
    id          bigint generated always as identity primary key,
    queue       text not null,
    entry_id    text not null,
    payload     text not null,
    reason      text not null,
    deliveries  bigint not null,
    parked_at   timestamptz not null default now(),
    resolved_at timestamptz,
    resolution  text constraint parked_jobs_resolution_known check (resolution in ('retried', 'discarded')),
    constraint parked_jobs_resolved_once check ((resolved_at is null) = (resolution is null)),
    unique (queue, entry_id)
);
create index parked_jobs_open on parked_jobs (queue, id) where resolved_at is null;

-- Queues an operator has paused.
create table paused_queues (
    queue     text primary key,
    paused_at timestamptz not null default now()
);
