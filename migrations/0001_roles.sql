-- One group role per process (no login): a deployment grants them to its own login roles.
-- Roles belong to the whole cluster, so they may exist already, or be made by a parallel migration of another database.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['quittance_api', 'quittance_worker', 'quittance_watcher'] loop
        begin
            if not exists (select from pg_roles where rolname = wanted) then
                execute format('create role %I nologin', wanted);
            end if;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role % is missing and this user may not create it', wanted
                    using hint = format('run the migration as a user with CREATEROLE, or: create role %I nologin', wanted);
        end;
    end loop;
end
$$;

-- Least privilege: processes read, insert what they own, and call functions. No role may write balances, transfers, invoice
-- states or events directly.
revoke create on schema public from public;
grant usage on schema public to quittance_api, quittance_worker, quittance_watcher;
grant select on _sqlx_migrations to quittance_api, quittance_worker, quittance_watcher;

-- The texts of migrations/functions that this database has, by SHA-256.
create table function_files (
    name       text not null,
    checksum   bytea not null,
    -- The newest one of a file is what the database has; programs of a release before know theirs among the others.
    applied_at timestamptz not null default clock_timestamp(),
    primary key (name, checksum)
);
grant select on function_files to quittance_api, quittance_worker, quittance_watcher;
