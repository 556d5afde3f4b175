-- Payments on chain: what is watched, what was found, what it was worth, and what we broadcast ourselves.

do $$
begin
    if not exists (select from pg_roles where rolname = 'quittance_watcher') then
        create role quittance_watcher nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise exception 'role quittance_watcher is missing and this user may not create it'
            using hint = 'run the migration as a user with CREATEROLE, or: create role quittance_watcher nologin';
end
$$;

-- The whole price was seen and is not final yet: the invoice does not expire before that is decided.
alter table invoices add column payment_confirming boolean not null default false;
-- A reference names one invoice for ever.
create unique index invoices_by_reference on invoices (reference_pubkey);

create or replace function effective_status(i invoices, at timestamptz) returns text language sql immutable as $$
    select case when i.status = 'pending' and i.expires_at <= at and not i.payment_confirming then 'expired'
                else i.status end
$$;

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
    polled_at        timestamptz
);

-- Watchers that live, as they say themselves.
create table watchers (
    id      uuid primary key,
    seen_at timestamptz not null default now()
);

-- Signatures that may be payments: from histories, subscriptions, submissions. The order of work is priority, then time.
create table chain_signatures (
    signature text collate "C" primary key,
    slot      bigint,
    source    text not null,
    priority  smallint not null default 0,
    -- found: to be examined; confirmed: recorded, not final; done: nothing more to do; dropped: the chain forgot it.
    state     text not null default 'found'
        constraint chain_signatures_state_known check (state in ('found', 'confirmed', 'done', 'dropped')),
    attempts  integer not null default 0,
    next_at   timestamptz not null default now(),
    found_at  timestamptz not null default now(),
    -- Why it could not be read, if so; it is listed for an operator meanwhile.
    note      text
) with (fillfactor = 70);
create index chain_signatures_due on chain_signatures (state, priority desc, next_at) where state in ('found', 'confirmed');

-- When to look an invoice's reference up by itself.
create table reference_sweeps (
    invoice_id text collate "C" primary key,
    next_at    timestamptz not null
) with (fillfactor = 70);
create index reference_sweeps_due on reference_sweeps (next_at);

create function plan_reference_sweep() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into reference_sweeps (invoice_id, next_at) values (new.id, now() + interval '10 seconds');
    return null;
end
$$;
create trigger invoices_reference_sweep after insert on invoices
    for each row when (starts_with(new.rail, 'sol-')) execute function plan_reference_sweep();

-- What one transaction added to one deposit account, net, in base units.
create table chain_payments (
    signature  text collate "C" not null,
    account    text collate "C" not null references deposit_accounts (account),
    slot       bigint not null,
    net_units  bigint not null constraint chain_payments_net_positive check (net_units > 0),
    state      text not null
        constraint chain_payments_state_known check (state in ('confirmed', 'finalized', 'reversed')),
    seen_at    timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (signature, account)
);

-- Whose money it is. A credit is settled once: it paid its invoice or went to its owner's balance.
create table chain_credits (
    id          bigint generated always as identity primary key,
    signature   text collate "C" not null,
    account     text collate "C" not null,
    invoice_id  text collate "C" not null references invoices (id),
    units       bigint not null constraint chain_credits_units_positive check (units > 0),
    state       text not null
        constraint chain_credits_state_known check (state in ('confirmed', 'finalized', 'reversed')),
    -- What it was worth when it was settled, micro-USD at the invoice's locked rate.
    worth_micro bigint constraint chain_credits_worth_not_negative check (worth_micro >= 0),
    settled_at  timestamptz,
    constraint chain_credits_settled_complete check ((worth_micro is null) = (settled_at is null)),
    unique (signature, account, invoice_id),
    foreign key (signature, account) references chain_payments (signature, account)
);
create index chain_credits_by_invoice on chain_credits (invoice_id);
create index chain_credits_unsettled on chain_credits (invoice_id) where settled_at is null and state = 'finalized';

-- Money that nobody can be credited with until an operator decides, and transactions that cannot be read.
create table unattributed_deposits (
    id          bigint generated always as identity primary key,
    signature   text collate "C" not null,
    -- Null when the transaction cannot be read.
    account     text collate "C",
    units       bigint,
    reason      text not null,
    -- The invoice it may belong to.
    invoice_id  text collate "C",
    found_at    timestamptz not null default now(),
    resolved_at timestamptz,
    resolution  text constraint unattributed_resolution_known check (resolution in ('attributed', 'dismissed')),
    note        text,
    constraint unattributed_resolved_once check ((resolved_at is null) = (resolution is null))
);
-- A transaction leaves one rest on an account; what is listed because money had settled before is per invoice.
create unique index unattributed_rest on unattributed_deposits (signature, account) nulls not distinct
    where reason not in ('reversed_after_settlement', 'changed_after_settlement');
create unique index unattributed_settled on unattributed_deposits (signature, account, invoice_id, reason)
    where reason in ('reversed_after_settlement', 'changed_after_settlement');
create index unattributed_open on unattributed_deposits (id) where resolved_at is null;

-- What could be read after all waits for nobody.
create function strike_off_unread() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from unattributed_deposits u
    where u.signature = new.signature and u.account is null and u.resolved_at is null;
    return null;
end
$$;
create trigger chain_signatures_read after update of note on chain_signatures
    for each row when (old.note is not null and new.note is null) execute function strike_off_unread();

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
    sends             integer not null default 0,
    next_at           timestamptz not null default now(),
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now()
);
create index relay_due on relay_transactions (next_at) where state in ('sending', 'confirmed');
create index relay_by_invoice on relay_transactions (invoice_id);
-- One at a time: several signed versions of one payment would all land.
create unique index relay_one_live on relay_transactions (invoice_id) where state in ('sending', 'confirmed');

-- Signatures that wallets say they broadcast themselves.
create table submitted_signatures (
    invoice_id text collate "C" not null references invoices (id),
    signature  text collate "C" not null,
    at         timestamptz not null default now(),
    primary key (invoice_id, signature)
);

-- Money that arrives from outside: a purchase paid on chain goes from the treasury to revenue and moves no balance.
alter table transfers
    drop constraint transfers_kind_known,
    add constraint transfers_kind_known check (kind in
        ('payment_credit', 'invoice_debit', 'invoice_payment', 'refund', 'adjust')),
    drop constraint transfers_kind_fits_accounts,
    add constraint transfers_kind_fits_accounts check (case kind
        when 'invoice_debit' then starts_with(debit_account, 'user:') and credit_account = 'revenue'
                                  and user_id is not null and ref_invoice_id is not null
        when 'invoice_payment' then starts_with(debit_account, 'treasury:') and credit_account = 'revenue'
                                    and user_id is null and ref_invoice_id is not null and ref_payment_id is not null
        when 'adjust' then 'adjustments' in (debit_account, credit_account) and user_id is not null
        when 'payment_credit' then starts_with(debit_account, 'treasury:') and starts_with(credit_account, 'user:')
                                   and user_id is not null and ref_payment_id is not null
        else starts_with(credit_account, 'user:') and user_id is not null
    end);
-- The slot of an invoice's settlement, whichever rail takes it.
drop index transfers_invoice_debit;
create unique index transfers_invoice_debit on transfers (ref_invoice_id)
    where kind in ('invoice_debit', 'invoice_payment');
create index transfers_by_payment on transfers (ref_payment_id) where ref_payment_id is not null;
