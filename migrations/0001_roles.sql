-- One group role per process (no login): a deployment grants them to its own login roles.
-- Roles belong to the whole cluster, so they may exist already, or be made by a parallel migration of another database.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['quittance_api', 'quittance_worker'] loop
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
