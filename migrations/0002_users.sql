-- Users, and how their browsers prove who they are.

create table users (
    id         uuid primary key,
    created_at timestamptz not null default now()
);

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

grant select on users to quittance_api, quittance_worker, quittance_watcher;
grant insert on users to quittance_api;
-- Locking the user's row orders that user's invoice creations; the column itself never changes.
grant update (created_at) on users to quittance_api;
grant select, delete on sessions to quittance_api, quittance_worker;
grant insert on sessions to quittance_api;
grant update (expires_at) on sessions to quittance_api;
