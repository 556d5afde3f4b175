-- What is watched on chain, and what was found there.

-- Accounts that money may arrive on. A row stays for ever: old invoices name old accounts.
create table deposit_accounts (
    account       text collate "C" primary key,
    rail          text not null
        constraint deposit_accounts_rail_known check (rail in ('sol-native', 'sol-spl-usdc', 'sol-spl-usdt')),
    -- The wallet that owns the account; invoices show it.
    recipient     text collate "C" not null,
    mint          text collate "C",
    token_program text collate "C",
    added_at      timestamptz not null default now(),
    -- What it held when it was first followed, in a final slot: the books begin there.
    opening_units numeric(20, 0),
    opening_slot  bigint,
    constraint deposit_accounts_token_complete check (
        (rail = 'sol-native') = (mint is null) and (mint is null) = (token_program is null)
        and (mint is null) = (account = recipient)),
    -- Invoices name rail and recipient: another mint on the same rail must not pay them.
    unique (rail, recipient)
);

-- Keys whose history is followed, each by one watcher at a time: deposit accounts and the beacon.
create table watched_keys (
    key              text collate "C" primary key,
    -- What happened before this slot is not ours.
    start_slot       bigint not null,
    -- The newest final signature before which nothing is missing.
    cursor_signature text collate "C",
    cursor_slot      bigint,
    holder           uuid,
    lease_until      timestamptz not null default '-infinity',
    polled_at        timestamptz,
    -- How far its history was read, on as many nodes as must agree: nothing that landed by then is missing from
    -- chain_signatures.
    read_slot        bigint,
    read_until       timestamptz
);

-- Watchers that live, as they say themselves.
create table watchers (
    id      uuid primary key,
    seen_at timestamptz not null default now()
);

-- Signatures that may be payments: from histories, subscriptions, submissions. The order of work is priority, then time.
create table chain_signatures (
    signature      text collate "C" primary key,
    slot           bigint,
    source         text not null,
    priority       smallint not null default 0,
    -- found: to be examined; confirmed: recorded, not final; done: nothing more to do; dropped: the chain forgot it.
    state          text not null default 'found'
        constraint chain_signatures_state_known check (state in ('found', 'confirmed', 'done', 'dropped')),
    attempts       integer not null default 0,
    next_at        timestamptz not null default now(),
    found_at       timestamptz not null default now(),
    -- Why it could not be read, if so; it is listed for an operator meanwhile.
    note           text,
    -- The watcher that examines it: what a dead one held is due as soon as its lease is over.
    taken_by       uuid,
    -- Rounds in which every node answered and none knew it, and since when.
    absences       smallint not null default 0,
    absent_since   timestamptz,
    -- How many deposit accounts were known when it was judged: rows of deposit_accounts stay, so more are others.
    accounts_known integer not null default 0
) with (fillfactor = 70);
create index chain_signatures_due on chain_signatures (state, priority desc, next_at) where state in ('found', 'confirmed');
create index chain_signatures_taken on chain_signatures (taken_by) where taken_by is not null;
-- What was dropped is asked for again, ever more rarely.
create index chain_signatures_dropped on chain_signatures (next_at) where state = 'dropped' and next_at < 'infinity';
-- Else the planner takes nearly all rows for taken ones.
analyze chain_signatures (taken_by);

-- When to look an invoice's reference up by itself.
create table reference_sweeps (
    invoice_id text collate "C" primary key,
    next_at    timestamptz not null
) with (fillfactor = 70);
create index reference_sweeps_due on reference_sweeps (next_at);

grant select on deposit_accounts, watched_keys, watchers, chain_signatures, reference_sweeps
    to quittance_api, quittance_worker, quittance_watcher;
grant insert, update (opening_units, opening_slot) on deposit_accounts to quittance_watcher;
grant insert, update on watched_keys to quittance_watcher;
grant insert, update, delete on watchers to quittance_watcher;
grant update (slot, state, priority, attempts, next_at, note, taken_by, absences, absent_since, accounts_known), delete
    on chain_signatures to quittance_watcher;
