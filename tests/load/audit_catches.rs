//! Tests of the tests: what must never be in the books is planted there, and the audit must find it.

use std::collections::BTreeSet;

use futures::future::join_all;
use sqlx::PgPool;
use stack::{Deployment, DeploymentError};

use crate::support::client::{Verdict, pay_once};
use crate::support::database::run;
use crate::support::world::{Debtor, PRICE, quick};

/// Checks that must fail, and how to make them: `:user` and `:invoice` stand for a user who has paid an invoice.
const PLANTS: [(&[&str], &str); 10] = [
    (
        &["balance_is_sum_of_transfers"],
        "update balances set amount_micro = amount_micro + 1 where user_id = ':user'",
    ),
    (
        &["payments_have_events"],
        "delete from outbox where topic = 'balance:' || ':user'",
    ),
    (
        &["events_are_published"],
        "update outbox_batches set published_at = null, created_at = now() - interval '2 minutes'
         where id = (select batch_id from outbox where topic = 'invoice:' || ':invoice' limit 1)",
    ),
    (
        &["paid_months_are_activated"],
        "update subscriptions set months_purchased = months_purchased + 1 where user_id = ':user'",
    ),
    (
        &["paid_invoices_have_evidence"],
        "update transfers set kind = 'adjust' where ref_invoice_id = ':invoice'",
    ),
    (
        &["debits_have_paid_invoices", "paid_months_are_activated"],
        "update invoices set status = 'cancelled', paid_at = null, processed_at = null where id = ':invoice'",
    ),
    (
        &["balance_chain"],
        "update transfers set user_balance_after = user_balance_after + 5 where ref_invoice_id = ':invoice'",
    ),
    (
        &["balances_not_negative", "balance_is_sum_of_transfers"],
        "alter table balances drop constraint balances_amount_not_negative;
         update balances set amount_micro = -1 where user_id = ':user'",
    ),
    (
        &["transfers_have_balances"],
        "delete from balances where user_id = ':user'",
    ),
    (
        &["one_debit_per_invoice", "paid_invoices_have_evidence"],
        "drop index transfers_invoice_debit;
         insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, at)
         values ('elsewhere', 'revenue', 1, 'invoice_debit', ':invoice', now())",
    ),
];

/// Names of the checks that fail.
async fn failing(deployment: &Deployment) -> BTreeSet<String> {
    let audit = deployment.operator().audit().await.unwrap();
    let checks = audit["checks"].as_array().unwrap();
    let failing = checks.iter().filter(|check| check["ok"] == false);
    let failing: BTreeSet<String> = failing
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(audit["ok"], failing.is_empty());
    failing
}

#[tokio::test]
async fn each_planted_defect_is_found_by_its_check() {
    for (expected, plant) in PLANTS {
        let deployment = quick().start().await.unwrap();
        let debtor = Debtor::create(&deployment, PRICE * 3, 1).await;
        assert!(pay_once(&debtor.console, debtor.invoice()).await.is_paid());
        assert_eq!(failing(&deployment).await, BTreeSet::new());
        let user = debtor.console.user_id().to_string();
        let plant = plant
            .replace(":user", &user)
            .replace(":invoice", debtor.invoice());
        // The triggers that keep the ledger as it is are off for this session only.
        run(
            deployment.pool(),
            format!(
                "set session_replication_role = replica; {plant}; reset session_replication_role"
            ),
        )
        .await;
        let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(failing(&deployment).await, expected, "{plant}");
        let error = deployment
            .finish()
            .await
            .expect_err("a test that ends so must fail");
        assert!(matches!(error, DeploymentError::Audit(_)), "{error}");
    }
}

/// The settlement without its row locks and without the unique index, and with time for others between its
/// decision and its writes.
async fn break_settlement(pool: &PgPool) {
    let body: String = sqlx::query_scalar(
        "select pg_get_functiondef(oid) from pg_proc where proname = 'settle_from_balance'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    let broken = body.replace(" for update;", ";").replacen(
        "if cardinality(n_transfers) = 0 then",
        "perform pg_sleep(0.05); if cardinality(n_transfers) = 0 then",
        1,
    );
    assert_eq!(body.matches(" for update;").count(), 2);
    assert!(broken.contains("pg_sleep"));
    run(
        pool,
        format!("{broken}; drop index transfers_invoice_debit"),
    )
    .await;
}

#[tokio::test]
async fn a_settlement_without_locks_is_found_by_double_clicks() {
    let deployment = quick().apis(2).workers(2).start().await.unwrap();
    break_settlement(deployment.pool()).await;
    let debtors = Debtor::create_many_with(&deployment, 10, 1, PRICE * 3).await;
    for debtor in &debtors {
        let clicks = (0..8).map(async |number| {
            let console = &debtor.consoles(&deployment, number)[0];
            pay_once(console, debtor.invoice()).await
        });
        let verdicts: Vec<Verdict> = join_all(clicks).await;
        assert!(verdicts.iter().all(Verdict::is_paid), "{verdicts:?}");
    }
    let failing = failing(&deployment).await;
    assert!(failing.contains("one_debit_per_invoice"), "{failing:?}");
    let error = deployment
        .finish()
        .await
        .expect_err("a test that ends so must fail");
    assert!(matches!(error, DeploymentError::Audit(_)), "{error}");
}
