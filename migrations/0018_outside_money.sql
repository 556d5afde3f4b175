-- What proving, valuing and keeping money from outside needs to remember. The functions follow in the next migrations.

-- Until when an invoice whose time is over still waits for what its rail's history may show of before: at the latest. On a
-- rail that nobody follows it is the end itself.
alter table invoices add column grace_until timestamptz;
update invoices set grace_until = expires_at;
alter table invoices alter grace_until set not null;
grant insert (grace_until) on invoices to quittance_api;

-- How far a key's history was read, on as many nodes as must agree: nothing that landed by then is missing from
-- chain_signatures.
alter table watched_keys add column read_slot bigint, add column read_until timestamptz;

-- What an account held when it was first followed, in a final slot: the books begin there.
alter table deposit_accounts add column opening_units numeric(20, 0), add column opening_slot bigint;
grant update (opening_units, opening_slot) on deposit_accounts to quittance_watcher;

alter table chain_signatures
    -- Rounds in which every node answered and none knew it, and since when.
    add column absences smallint not null default 0,
    add column absent_since timestamptz,
    -- How many deposit accounts were known when it was judged: rows of deposit_accounts stay, so more are others.
    add column accounts_known integer not null default 0;
grant update (absences, absent_since, accounts_known) on chain_signatures to quittance_watcher;
-- What was dropped is asked for again, ever more rarely.
create index chain_signatures_dropped on chain_signatures (next_at) where state = 'dropped' and next_at < 'infinity';

-- When the chain says that it landed; null when no node said.
alter table chain_payments add column block_time timestamptz,
    -- What of it is too little to be listed.
    add column dust_units bigint not null default 0 constraint chain_payments_dust_in_bounds
        check (dust_units between 0 and net_units);

-- What final transactions took out of deposit accounts, fees included.
create table chain_outflows (
    signature text collate "C" not null,
    account   text collate "C" not null references deposit_accounts (account),
    slot      bigint not null,
    units     bigint not null constraint chain_outflows_units_positive check (units > 0),
    found_at  timestamptz not null default now(),
    primary key (signature, account)
);
create index chain_outflows_by_account on chain_outflows (account, slot);
create index chain_payments_by_account on chain_payments (account, slot);

-- Deposits below the threshold, counted instead of listed.
create table deposit_dust (
    account  text collate "C" primary key references deposit_accounts (account),
    deposits bigint not null,
    units    numeric(20, 0) not null,
    last_at  timestamptz not null
) with (fillfactor = 50);

alter table chain_credits
    -- A credit is for an invoice, or for a user to whom an operator gave a deposit.
    alter invoice_id drop not null,
    add column user_id uuid references users (id),
    add constraint chain_credits_for_one check ((invoice_id is null) <> (user_id is null)),
    -- What of it paid the invoice, at the rate locked into it; the rest is worth_micro.
    add column paid_units bigint not null default 0 constraint chain_credits_paid_in_bounds
        check (paid_units between 0 and units),
    -- What cannot be settled now is set aside until then.
    add column retry_at timestamptz not null default '-infinity';
create unique index chain_credits_to_user on chain_credits (signature, account) where invoice_id is null;

alter table unattributed_deposits
    -- Of a worthless token there can be more than a signed integer holds.
    alter units type numeric(20, 0),
    -- At the price of when it was found, micro-USD; null when that is not known.
    add column worth_micro bigint,
    -- What operators need to know besides: both answers of nodes that disagree, say.
    add column detail jsonb,
    -- To whom it was given.
    add column user_id uuid references users (id),
    drop constraint unattributed_resolution_known,
    add constraint unattributed_resolution_known check (resolution in ('attributed', 'credited', 'dismissed'));
-- A transaction leaves one rest on an account; what is listed for an invoice besides is once per reason.
drop index unattributed_rest;
drop index unattributed_settled;
create unique index unattributed_rest on unattributed_deposits (signature, account) nulls not distinct
    where reason not in ('reversed_after_settlement', 'changed_after_settlement', 'awaiting_price', 'not_creditable');
create unique index unattributed_settled on unattributed_deposits (signature, account, invoice_id, reason)
    where reason in ('reversed_after_settlement', 'changed_after_settlement', 'awaiting_price', 'not_creditable');

-- The last comparison of each deposit account's books with the chain, in base units.
create table reconciliations (
    account text collate "C" primary key references deposit_accounts (account),
    at      timestamptz not null,
    -- The final slot that both sides are of.
    slot    bigint not null,
    theirs  numeric(20, 0) not null,
    ours    numeric(40, 0) not null,
    ok      boolean generated always as (theirs = ours) stored
);

-- Why a transaction was refused, in a word for the wallet.
alter table relay_transactions add column failure text;
grant update (failure) on relay_transactions to quittance_worker;

grant select on chain_outflows, deposit_dust, reconciliations to quittance_api, quittance_worker, quittance_watcher;
grant insert, update on reconciliations to quittance_worker;
