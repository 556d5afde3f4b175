-- What transactions on chain did, and whose money it is.

-- What one transaction added to one deposit account, net, in base units.
create table chain_payments (
    signature  text collate "C" not null,
    account    text collate "C" not null references deposit_accounts (account),
    slot       bigint not null,
    net_units  bigint not null,
    -- confirmed, finalized, reversed
    state      text not null,
    seen_at    timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- When the chain says that it landed; null when no node said.
    block_time timestamptz,
    -- What of it is too little to be listed.
    dust_units bigint not null default 0,
    primary key (signature, account)
);
-- Declared here, told in functions/chain_payments.sql.
create function chain_payment_is_sound(net_units bigint, state text, dust_units bigint) returns boolean
language sql immutable as 'select true';
alter table chain_payments add constraint chain_payments_sound check (chain_payment_is_sound(net_units, state, dust_units));
create index chain_payments_by_account on chain_payments (account, slot);

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

-- Money that nobody can be credited with until an operator decides, and transactions that cannot be read.
create table unattributed_deposits (
    id          bigint generated always as identity primary key,
    signature   text collate "C" not null,
    -- Null when the transaction cannot be read.
    account     text collate "C",
    -- Of a worthless token there can be more than a signed integer holds.
    units       numeric(20, 0),
    reason      text not null,
    -- The invoice it may belong to.
    invoice_id  text collate "C",
    found_at    timestamptz not null default now(),
    resolved_at timestamptz,
    resolution  text constraint unattributed_resolution_known check (resolution in ('attributed', 'credited', 'dismissed')),
    note        text,
    -- At the price of when it was found, micro-USD; null when that is not known.
    worth_micro bigint,
    -- What operators need to know besides: both answers of nodes that disagree, say.
    detail      jsonb,
    -- To whom it was given.
    user_id     uuid references users (id),
    constraint unattributed_resolved_once check ((resolved_at is null) = (resolution is null))
);
-- A transaction leaves one rest on an account; what is listed for an invoice besides is once per reason.
create unique index unattributed_rest on unattributed_deposits (signature, account) nulls not distinct
    where reason not in ('reversed_after_settlement', 'changed_after_settlement', 'awaiting_price', 'not_creditable');
create unique index unattributed_settled on unattributed_deposits (signature, account, invoice_id, reason)
    where reason in ('reversed_after_settlement', 'changed_after_settlement', 'awaiting_price', 'not_creditable');
create index unattributed_open on unattributed_deposits (id) where resolved_at is null;
create index unattributed_by_worth on unattributed_deposits ((coalesce(worth_micro, 9223372036854775807)), id);
create index unattributed_open_by_worth on unattributed_deposits ((coalesce(worth_micro, 9223372036854775807)), id)
    where resolved_at is null;
create index unattributed_by_reason on unattributed_deposits (reason, id);
create index unattributed_open_by_reason on unattributed_deposits (reason, id) where resolved_at is null;
create index unattributed_by_account on unattributed_deposits (account, id);
create index unattributed_by_invoice on unattributed_deposits (invoice_id, id) where invoice_id is not null;
create index unattributed_by_signature on unattributed_deposits (signature);

-- Whose money it is. A credit is settled once: it paid its invoice or went to its owner's balance.
create table chain_credits (
    id          bigint generated always as identity primary key,
    signature   text collate "C" not null,
    account     text collate "C" not null,
    -- It is for an invoice, or for a user to whom an operator gave a deposit.
    invoice_id  text collate "C" references invoices (id),
    user_id     uuid references users (id),
    deposit_id  bigint references unattributed_deposits (id),
    units       bigint not null,
    -- confirmed, finalized, reversed
    state       text not null,
    -- What of it paid the invoice, at the rate locked into it.
    paid_units  bigint not null default 0,
    -- What the rest was worth when it was settled, micro-USD.
    worth_micro bigint,
    settled_at  timestamptz,
    -- Why it could not be settled so far; the list for operators says the same.
    waits_for   text,
    -- What cannot be settled now is set aside until then.
    retry_at    timestamptz not null default '-infinity',
    unique (signature, account, invoice_id),
    foreign key (signature, account) references chain_payments (signature, account)
);
-- Declared here, told in functions/chain_payments.sql.
create function chain_credit_is_sound(invoice_id text, user_id uuid, units bigint, paid_units bigint, state text,
    worth_micro bigint, settled_at timestamptz, waits_for text) returns boolean
language sql immutable as 'select true';
alter table chain_credits add constraint chain_credits_sound check (chain_credit_is_sound(
    invoice_id, user_id, units, paid_units, state, worth_micro, settled_at, waits_for));
create index chain_credits_by_invoice on chain_credits (invoice_id);
create unique index chain_credits_of_deposit on chain_credits (deposit_id) where deposit_id is not null;
-- What is to be settled, in the order in which it is tried: what has been settled is in neither.
create index chain_credits_to_settle on chain_credits (retry_at)
    where settled_at is null and state = 'finalized' and waits_for is distinct from 'awaiting_price';
create index chain_credits_awaiting_price on chain_credits (retry_at)
    where settled_at is null and state = 'finalized' and waits_for = 'awaiting_price';

-- Deposits below the threshold, counted instead of listed.
create table deposit_dust (
    account  text collate "C" primary key references deposit_accounts (account),
    deposits bigint not null,
    units    numeric(20, 0) not null,
    last_at  timestamptz not null
) with (fillfactor = 50);

-- One look at a transaction, as verified at a commitment: what it did. Units of what is not ours may be more than is counted
-- in elsewhere.
create type chain_look as (
    signature text, slot bigint, landed_at timestamptz, is_final boolean, accounts_known integer,
    accounts text[], nets bigint[],
    credit_accounts text[], credit_invoices text[], credit_units bigint[],
    open_accounts text[], open_units numeric[], open_reasons text[], open_invoices text[], open_rails text[],
    out_accounts text[], out_units bigint[]
);

grant select on chain_payments, chain_outflows, unattributed_deposits, chain_credits, deposit_dust
    to quittance_api, quittance_worker, quittance_watcher;
grant update (resolved_at, resolution, note) on unattributed_deposits to quittance_api;
grant insert, update (reason, detail) on unattributed_deposits to quittance_watcher;
