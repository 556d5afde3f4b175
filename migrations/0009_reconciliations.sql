-- The books of deposit accounts, held against the chain.

-- The last comparison of each account, in base units.
create table reconciliations (
    account    text collate "C" primary key references deposit_accounts (account),
    at         timestamptz not null,
    -- The final slot that both sides are of.
    slot       bigint not null,
    theirs     numeric(20, 0) not null,
    ours       numeric(40, 0) not null,
    ok         boolean generated always as (theirs = ours) stored,
    -- Up to which slot the books were summed up, and to what, so that no look sums all of history.
    mark_slot  bigint,
    mark_units numeric(40, 0),
    marked_at  timestamptz,
    constraint reconciliations_mark_complete check (
        (mark_slot is null) = (mark_units is null) and (mark_units is null) = (marked_at is null))
);

grant select on reconciliations to quittance_api, quittance_worker, quittance_watcher;
grant insert, update on reconciliations to quittance_worker;
