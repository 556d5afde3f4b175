-- What sweeps remember, and what operators see and do.

-- How far each sweep has come; hints that bound its scan, not a source of truth.
create table sweep_cursors (
    name text primary key,
    at   timestamptz not null
);
insert into sweep_cursors (name, at) values ('expiry', '-infinity'), ('expiry_round', '-infinity');

create table operator_actions (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    action   text not null,
    target   text not null,
    detail   jsonb not null,
    outcome  text not null,
    trace_id text not null
);
create index operator_actions_by_time on operator_actions (at, id);
create index operator_actions_by_action on operator_actions (action, at, id);
create index operator_actions_by_target on operator_actions (target, at, id);

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
create index parked_jobs_open_by_id on parked_jobs (id) where resolved_at is null;
create index parked_jobs_by_queue on parked_jobs (queue, id);

-- Queues an operator has paused.
create table paused_queues (
    queue     text primary key,
    paused_at timestamptz not null default now()
);

grant select on sweep_cursors, operator_actions, parked_jobs, paused_queues to quittance_api, quittance_worker;
grant insert on operator_actions to quittance_api;
grant insert on parked_jobs to quittance_worker;
grant update (resolved_at, resolution) on parked_jobs to quittance_api;
grant insert, delete on paused_queues to quittance_api;
