//! Tests of the tests: what these suites look for is brought about, and their audit must find it. Each single check of
//! the audit is tested in the suite `ops`.

use std::collections::BTreeSet;

use futures::future::join_all;
use sqlx::PgPool;
use stack::{Deployment, DeploymentError};

use crate::support::client::{Verdict, pay_once};
use crate::support::database::run;
use crate::support::world::{Debtor, PRICE, quick};

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

/// Ends a test as every test ends here: it must fail by its audit.
async fn must_fail_by_its_audit(deployment: Deployment) {
    let error = deployment
        .finish()
        .await
        .expect_err("a test that ends so must fail");
    assert!(matches!(error, DeploymentError::Audit(_)), "{error}");
}

#[tokio::test]
async fn a_planted_double_debit_fails_the_test_it_happens_in() {
    let deployment = quick().start().await.unwrap();
    let debtor = Debtor::create(&deployment, PRICE * 3, 1).await;
    assert!(pay_once(&debtor.console, debtor.invoice()).await.is_paid());
    assert_eq!(failing(&deployment).await, BTreeSet::new());
    let plant = format!(
        "drop index transfers_invoice_debit;
         insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                                user_balance_after, at)
         select debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id, user_balance_after, at
         from transfers where ref_invoice_id = '{}'",
        debtor.invoice()
    );
    run(deployment.pool(), plant).await;
    let failing = failing(&deployment).await;
    assert!(failing.contains("one_debit_per_invoice"), "{failing:?}");
    must_fail_by_its_audit(deployment).await;
}

/// The settlement without its row locks and without the unique index, and with time for others between its
/// decision and its writes.
async fn break_settlement(pool: &PgPool) {
    let decided = [
        (
            "settle_from_balance",
            "if cardinality(n_transfers) = 0 then",
        ),
        ("settle_one_from_balance", "if outcome <> 'paid' then"),
    ];
    for (function, moment) in decided {
        let body: String =
            sqlx::query_scalar("select pg_get_functiondef(oid) from pg_proc where proname = $1")
                .bind(function)
                .fetch_one(pool)
                .await
                .unwrap();
        let pause = format!("perform pg_sleep(0.05); {moment}");
        let broken = body
            .replace(" for update;", ";")
            .replacen(moment, &pause, 1);
        assert_eq!(body.matches(" for update;").count(), 2);
        assert!(broken.contains("pg_sleep"));
        run(pool, broken).await;
    }
    run(pool, "drop index transfers_invoice_debit".to_owned()).await;
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
    must_fail_by_its_audit(deployment).await;
}
