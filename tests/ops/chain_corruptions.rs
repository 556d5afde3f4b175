//! The same for money on chain: books of one user, what could be done to them, and the checks that must tell.

use serde_json::json;
use stack::Deployment;

use crate::chain_books::{record, register};
use crate::corruptions::{Corruption, rows};
use crate::support::{STARTER, execute, invoice, user};

const TOTAL: &str = "debits_equal_credits";
const SUM: &str = "balance_is_sum_of_transfers";
const EVIDENCE: &str = "paid_invoices_have_evidence";
const POSTED: &str = "chain_credits_are_posted";
const BACKED: &str = "chain_credits_are_backed";
const PROGRESS: &str = "chain_progress_is_shown";
const KEPT: &str = "ended_invoices_keep_nothing";

/// A purchase paid with 3 too much, a paid top-up of 7, a pending invoice that has 6 of its price, a cancelled one that
/// 8 came for too late, and 4 for nobody.
pub async fn chain_books(deployment: &Deployment) {
    let pool = deployment.pool();
    register(deployment).await;
    let console = user(deployment).await;
    let topup = json!({
        "channel": "crypto-onchain", "rail": "sol-spl-usdc", "bill_action": {"type": "topup"},
        "amount_micro": 7,
    });
    let topup = console
        .create_invoice(&topup)
        .await
        .expect("an answer")
        .body;
    let topup = topup["id"].as_str().expect("an id").to_owned();
    let (paid, part, late) = (
        invoice(&console).await,
        invoice(&console).await,
        invoice(&console).await,
    );
    assert_eq!(console.cancel(&late).await.expect("an answer").status, 204);
    record(pool, "paid", &[(&paid, STARTER + 3)], 0).await;
    record(pool, "topup", &[(&topup, 7)], 0).await;
    record(pool, "part", &[(&part, 6)], 0).await;
    record(pool, "late", &[(&late, 8)], 0).await;
    record(pool, "nobodys", &[], 4).await;
    execute(
        pool,
        "update invoices i set description = 'chain ' || c.signature from chain_credits c where c.invoice_id = i.id;
         select mark_published(array_agg(id)) from outbox_batches where published_at is null",
    )
    .await;
    let balance = console.balance().await.expect("an answer").body;
    assert_eq!(balance["amount_micro"], 3 + 7 + 8);
}

pub const CHAIN_CORRUPTIONS: &[Corruption] = &[
    rows(
        "money that came late left the treasury no more",
        "begin; set local session_replication_role = replica;
         delete from transfers where kind = 'payment_credit' and amount_micro = 8; commit",
        &[TOTAL, SUM, POSTED],
    ),
    rows(
        "money that came late went to another user",
        "begin; set local session_replication_role = replica;
         update outbox_batches b
         set topics[o.id] = 'balance:' || (select user_id from balances where amount_micro = 5)::text
         from outbox o where o.batch_id = b.id
         and (o.message ->> 'position')::bigint = (select id from transfers where amount_micro = 8);
         update balances set amount_micro = 10, last_transfer_id = (
             select max(t.id) from transfers t where t.user_id = balances.user_id and t.amount_micro <> 8)
         where amount_micro = 18;
         update transfers set user_id = b.user_id, credit_account = 'user:' || b.user_id::text, user_balance_after = 13
         from balances b where b.amount_micro = 5 and transfers.amount_micro = 8;
         update balances set amount_micro = 13, last_transfer_id = (select id from transfers where amount_micro = 8)
         where amount_micro = 5;
         commit",
        &[POSTED],
    ),
    rows(
        "a payment on chain is worth less than was posted",
        "update chain_credits set worth_micro = worth_micro - 1 where signature = 'late'",
        &[POSTED],
    ),
    rows(
        "a payment on chain is worth more than its units",
        "update chain_credits set worth_micro = worth_micro + 1 where signature = 'late'",
        &[POSTED, BACKED],
    ),
    rows(
        "a settled payment is forgotten",
        "update chain_credits set paid_units = 0, worth_micro = null, settled_at = null where signature = 'topup'",
        &[EVIDENCE, POSTED],
    ),
    rows(
        "the payment of a purchase left the treasury no more",
        "begin; set local session_replication_role = replica;
         delete from transfers where kind = 'invoice_payment'; commit",
        &[EVIDENCE, POSTED],
    ),
    rows(
        "a purchase was paid on chain with less than its price",
        "begin; set local session_replication_role = replica;
         update transfers set amount_micro = amount_micro - 1 where kind = 'invoice_payment'; commit",
        &[EVIDENCE, POSTED],
    ),
    rows(
        "a purchase paid on chain has a higher price",
        "update invoices set amount_micro = amount_micro + 10 where description = 'chain paid'",
        &[EVIDENCE, POSTED],
    ),
    rows(
        "a top-up paid on chain has a higher price",
        "update invoices set amount_micro = amount_micro + 10 where description = 'chain topup'",
        &[EVIDENCE, POSTED],
    ),
    rows(
        "fewer units came for a purchase than it needs",
        "update chain_credits set units = 48999999, paid_units = 48999999 where signature = 'paid';
         update chain_payments set net_units = 48999999 where signature = 'paid'",
        &[EVIDENCE, BACKED, PROGRESS],
    ),
    rows(
        "a purchase was paid with more than its price",
        "update chain_credits set paid_units = paid_units + 1, worth_micro = worth_micro - 1 where signature = 'paid'",
        &[EVIDENCE, POSTED],
    ),
    rows(
        "what landed too late has paid a purchase",
        "update chain_payments set seen_at = now() + interval '1 day' where signature = 'paid'",
        &[EVIDENCE],
    ),
    rows(
        "a part of a price counts as paid",
        "update chain_credits set paid_units = 6, worth_micro = 0, settled_at = now() where signature = 'part'",
        &[EVIDENCE, POSTED],
    ),
    rows(
        "too little to be listed is counted nowhere",
        "begin;
         delete from unattributed_deposits where signature = 'nobodys';
         update chain_payments set dust_units = 4 where signature = 'nobodys'; commit",
        &[BACKED],
    ),
    rows(
        "a user was given what did not leave the treasury",
        "begin;
         update unattributed_deposits set resolved_at = now(), resolution = 'credited' where signature = 'nobodys';
         insert into chain_credits (signature, account, user_id, units, state, worth_micro, settled_at)
         select p.signature, p.account, u.id, 4, 'finalized', 4, now()
         from chain_payments p, (select id from users limit 1) as u where p.signature = 'nobodys'; commit",
        &[POSTED],
    ),
    rows(
        "what could not be settled was struck off",
        "update chain_credits set settled_at = null, worth_micro = null, waits_for = 'not_creditable' where signature = 'late';
         update invoices set grace_until = now() - interval '2 minutes', expires_at = now() - interval '2 minutes',
                created_at = now() - interval '1 hour'
         where id in (select invoice_id from chain_credits where signature = 'late');
         update chain_payments set updated_at = now() - interval '2 minutes' where signature = 'late'",
        &[POSTED, KEPT],
    ),
    rows(
        "a transaction moved less than it credits",
        "update chain_payments set net_units = net_units - 1 where signature = 'late'",
        &[BACKED],
    ),
    rows(
        "a transaction moved more than anybody was told",
        "update chain_payments set net_units = net_units + 1 where signature = 'late'",
        &[BACKED],
    ),
    rows(
        "a transaction is gone and still credits",
        "update chain_payments set state = 'reversed' where signature = 'late'",
        &[BACKED],
    ),
    rows(
        "a transaction is not final and credits as if it were",
        "update chain_payments set state = 'confirmed' where signature = 'part'",
        &[BACKED],
    ),
    rows(
        "money for nobody is forgotten",
        "delete from unattributed_deposits where signature = 'nobodys'",
        &[BACKED],
    ),
    rows(
        "money for nobody was given away and credits nobody",
        "update unattributed_deposits set resolved_at = now(), resolution = 'attributed' where signature = 'nobodys'",
        &[BACKED],
    ),
    rows(
        "a final credit is taken back",
        "update chain_credits set state = 'reversed' where signature = 'part'",
        &[BACKED, PROGRESS],
    ),
    rows(
        "an invoice shows more than came",
        "update invoices set payments_received_micro = payments_received_micro + 1 where description = 'chain part'",
        &[PROGRESS],
    ),
    rows(
        "an invoice that nothing came for shows progress",
        "update invoices set payments_received_micro = 1 where description = 'topup'",
        &[PROGRESS],
    ),
    rows(
        "a paid invoice shows less than came",
        "update invoices set payments_received_micro = 0 where description = 'chain paid'",
        &[PROGRESS],
    ),
    rows(
        "an expired invoice keeps a part of its price",
        "update invoices set status = 'expired', created_at = now() - interval '2 hours',
                expires_at = now() - interval '1 hour', grace_until = now() - interval '1 hour'
         where description = 'chain part';
         update chain_payments set updated_at = now() - interval '2 minutes' where signature = 'part'",
        &[KEPT],
    ),
];
