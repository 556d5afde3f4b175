//! What a broken program or a careless hand could do to the books, and the checks that must tell.

/// One corruption of the good books that the audit's tests start from.
pub struct Corruption {
    pub what: &'static str,
    /// Statements that plant it, as the superuser.
    pub plant: &'static str,
    /// What has to be repaired besides the tables' content.
    pub repair: &'static str,
    /// The checks that fail then, and no other.
    pub checks: &'static [&'static str],
}

pub const fn rows(
    what: &'static str,
    plant: &'static str,
    checks: &'static [&'static str],
) -> Corruption {
    Corruption {
        what,
        plant,
        repair: "",
        checks,
    }
}

const TOTAL: &str = "debits_equal_credits";
const SUM: &str = "balance_is_sum_of_transfers";
const CHAIN: &str = "balance_chain";
const EVIDENCE: &str = "paid_invoices_have_evidence";
const DEBITS: &str = "debits_have_paid_invoices";
const MONTHS: &str = "paid_months_are_activated";
const EVENTS: &str = "payments_have_events";
const ONE_DEBIT: &str = "one_debit_per_invoice";

pub const CORRUPTIONS: &[Corruption] = &[
    rows(
        "a balance is too high",
        "update balances set amount_micro = amount_micro + 1 where amount_micro = 5",
        &[TOTAL, SUM],
    ),
    rows(
        "a balance is too low",
        "update balances set amount_micro = 0 where amount_micro = 50000000",
        &[TOTAL, SUM],
    ),
    rows(
        "a balance has money from nowhere",
        "update balances set amount_micro = 1 where last_transfer_id = 0",
        &[TOTAL, SUM],
    ),
    rows(
        "a balance does not count its newest transfer",
        "update balances set last_transfer_id = last_transfer_id - 1 where amount_micro = 5",
        &[SUM],
    ),
    rows(
        "a balance is gone",
        "delete from balances where amount_micro = 5",
        &[TOTAL, "transfers_have_balances"],
    ),
    Corruption {
        what: "a balance is below zero",
        plant: "alter table balances drop constraint balances_amount_not_negative;
                update balances set amount_micro = -1 where amount_micro = 5",
        repair: "alter table balances add constraint balances_amount_not_negative check (amount_micro >= 0)",
        checks: &[TOTAL, SUM, "balances_not_negative"],
    },
    rows(
        "a user's only transfer is deleted",
        "begin; set local session_replication_role = replica;
         delete from transfers where amount_micro = 5; commit",
        &[TOTAL, SUM],
    ),
    rows(
        "a user's newest transfer is deleted",
        "begin; set local session_replication_role = replica;
         delete from transfers where amount_micro = 1000000; commit",
        &[TOTAL, SUM],
    ),
    rows(
        "the debit of a paid invoice is deleted",
        "alter table transfers disable trigger user;
         delete from transfers where kind = 'invoice_debit';
         alter table transfers enable trigger user",
        &[TOTAL, SUM, CHAIN, EVIDENCE],
    ),
    rows(
        "a transfer has another amount",
        "alter table transfers disable trigger user;
         update transfers set amount_micro = amount_micro + 1 where amount_micro = 100000000;
         alter table transfers enable trigger user",
        &[TOTAL, SUM, CHAIN],
    ),
    rows(
        "a transfer leaves another balance than it should",
        "alter table transfers disable trigger user;
         update transfers set user_balance_after = user_balance_after + 1 where amount_micro = 1000000;
         alter table transfers enable trigger user",
        &[CHAIN],
    ),
    rows(
        "a credit is turned into a debit",
        "alter table transfers disable trigger user;
         update transfers set debit_account = credit_account, credit_account = debit_account
         where amount_micro = 5;
         alter table transfers enable trigger user",
        &[TOTAL, SUM, CHAIN],
    ),
    Corruption {
        what: "an invoice is debited twice",
        plant: "drop index transfers_invoice_debit;
                with posted as (
                    insert into transfers (debit_account, credit_account, amount_micro, kind,
                                           ref_invoice_id, user_id, user_balance_after, at)
                    select debit_account, credit_account, amount_micro, kind, ref_invoice_id,
                           user_id, 1000000, now()
                    from transfers where kind = 'invoice_debit' returning id, user_id
                ), moved as (
                    update balances b set amount_micro = 1000000, last_transfer_id = p.id
                    from posted p where b.user_id = p.user_id
                )
                insert into outbox_batches (topics, messages, published_at)
                select array_agg('balance:' || p.user_id::text),
                       array_agg(jsonb_build_object('position', p.id)::text), now()
                from posted p",
        repair: "create unique index transfers_invoice_debit on transfers (ref_invoice_id)
                 where kind in ('invoice_debit', 'invoice_payment')",
        checks: &[ONE_DEBIT, EVIDENCE],
    },
    Corruption {
        what: "an invoice is debited in two parts",
        plant: "drop index transfers_invoice_debit;
                alter table transfers disable trigger user;
                update transfers set amount_micro = 20000000, user_balance_after = 80000000
                where kind = 'invoice_debit';
                update transfers set user_balance_after = 79000000 where amount_micro = 1000000;
                alter table transfers enable trigger user;
                with posted as (
                    insert into transfers (debit_account, credit_account, amount_micro, kind,
                                           ref_invoice_id, user_id, user_balance_after, at)
                    select debit_account, credit_account, 29000000, kind, ref_invoice_id,
                           user_id, 50000000, now()
                    from transfers where kind = 'invoice_debit' returning id, user_id
                ), moved as (
                    update balances b set last_transfer_id = p.id
                    from posted p where b.user_id = p.user_id
                )
                insert into outbox_batches (topics, messages, published_at)
                select array_agg('balance:' || p.user_id::text),
                       array_agg(jsonb_build_object('position', p.id)::text), now()
                from posted p",
        repair: "create unique index transfers_invoice_debit on transfers (ref_invoice_id)
                 where kind in ('invoice_debit', 'invoice_payment')",
        checks: &[ONE_DEBIT],
    },
    rows(
        "an unpaid top-up is marked paid",
        "update invoices set status = 'paid', paid_at = now(), processed_at = now()
         where description = 'topup'",
        &[EVIDENCE, EVENTS],
    ),
    rows(
        "an unpaid subscription is marked paid",
        "update invoices set status = 'paid', paid_at = now(), processed_at = now()
         where description = 'pending'",
        &[EVIDENCE, MONTHS, EVENTS],
    ),
    rows(
        "a paid invoice has another amount",
        "update invoices set amount_micro = amount_micro - 1 where description = 'paid'",
        &[EVIDENCE],
    ),
    rows(
        "a paid invoice has another owner",
        "update invoices set user_id = (select user_id from balances where amount_micro = 5)
         where description = 'paid'",
        &[EVIDENCE, MONTHS],
    ),
    rows(
        "a paid invoice is pending again",
        "begin; set local session_replication_role = replica;
         update invoices set status = 'pending', paid_at = null, processed_at = null
         where description = 'paid'; commit",
        &[DEBITS, MONTHS],
    ),
    rows(
        "a payment is undone without giving the money back",
        "begin; set local session_replication_role = replica;
         update invoices set status = 'cancelled', paid_at = null, processed_at = null
         where description = 'paid';
         delete from subscriptions
         where user_id = (select user_id from invoices where description = 'paid'); commit",
        &[DEBITS],
    ),
    rows(
        "a paid invoice is deleted",
        "delete from invoices where description = 'paid'",
        &[DEBITS, MONTHS],
    ),
    rows(
        "a debit names another invoice",
        "alter table transfers disable trigger user;
         update transfers set ref_invoice_id = 'inv_ffffffffffffffff' where kind = 'invoice_debit';
         alter table transfers enable trigger user",
        &[EVIDENCE, DEBITS],
    ),
    rows(
        "a debit names a pending invoice",
        "alter table transfers disable trigger user;
         update transfers set ref_invoice_id = (select id from invoices where description = 'pending')
         where kind = 'invoice_debit';
         alter table transfers enable trigger user",
        &[EVIDENCE, DEBITS],
    ),
    rows("a subscription is gone", "delete from subscriptions", &[MONTHS]),
    rows(
        "a subscription has too many months",
        "update subscriptions set months_purchased = months_purchased + 1",
        &[MONTHS],
    ),
    rows(
        "a subscription nobody bought",
        "insert into subscriptions (user_id, plan, anchor_at, months_total, months_purchased,
                                    active_until, updated_at)
         select user_id, 'scale', now(), 12, 12, now() + interval '12 months', now()
         from balances where amount_micro = 5",
        &[MONTHS],
    ),
    rows(
        "events were never published",
        "update outbox_batches set published_at = null, created_at = now() - interval '2 minutes'
         where id = (select max(id) from outbox_batches)",
        &["events_are_published"],
    ),
    rows(
        "the event of a payment is gone",
        "delete from outbox_batches where id in (
             select batch_id from outbox where message -> 'data' ->> 'kind' = 'balance_debit'
             and message -> 'data' ->> 'ref_invoice_id' is not null)",
        &["payments_have_events"],
    ),
    rows(
        "the event of an adjustment has another position",
        "update outbox_batches b
         set messages[o.id] = jsonb_set(o.message::jsonb, '{position}', '0')::text
         from outbox o where o.batch_id = b.id and (o.message -> 'data' ->> 'delta_micro')::bigint = 5",
        &["payments_have_events"],
    ),
    rows(
        "the event of a payment went to another user",
        "update outbox_batches b set topics[o.id] = 'balance:' || gen_random_uuid()::text
         from outbox o where o.batch_id = b.id and o.message -> 'data' ->> 'kind' = 'balance_debit'",
        &["payments_have_events"],
    ),
];
