-- Transactions that payers hand over.

-- Signed transactions handed to us for broadcasting. Their state is about transport only; it never pays an invoice.
create table relay_transactions (
    signature         text collate "C" primary key,
    invoice_id        text collate "C" not null references invoices (id),
    wire              bytea not null,
    -- Known once a worker has asked; past it the transaction cannot land.
    last_valid_height bigint,
    state             text not null default 'sending'
        constraint relay_state_known check (state in ('sending', 'confirmed', 'finalized', 'failed', 'expired')),
    -- A node took it at least once.
    accepted          boolean not null default false,
    reason            text,
    -- Why it was refused, in a word for the wallet.
    failure           text,
    sends             integer not null default 0,
    -- Looks in which no node knew it any more.
    absences          smallint not null default 0,
    next_at           timestamptz not null default now(),
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now()
);
create index relay_due on relay_transactions (next_at) where state in ('sending', 'confirmed');
create index relay_by_invoice on relay_transactions (invoice_id);
-- One at a time: several signed versions of one payment would all land.
create unique index relay_one_live on relay_transactions (invoice_id) where state in ('sending', 'confirmed');
-- What was submitted for invoices that ended long ago is deleted, oldest first.
create index relay_by_age on relay_transactions (created_at) where state not in ('sending', 'confirmed');

-- Signatures that wallets say they broadcast themselves.
create table submitted_signatures (
    invoice_id text collate "C" not null references invoices (id),
    signature  text collate "C" not null,
    at         timestamptz not null default now(),
    primary key (invoice_id, signature)
);
create index submitted_by_age on submitted_signatures (at);

grant select on relay_transactions, submitted_signatures to quittance_api, quittance_worker, quittance_watcher;
grant update (last_valid_height, state, accepted, reason, failure, sends, absences, next_at, updated_at)
    on relay_transactions to quittance_worker;
