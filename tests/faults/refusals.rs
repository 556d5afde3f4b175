//! Jobs that fail by themselves: refused by the database, or never finished. They fail alone.

use std::time::Duration;

use futures::future::join_all;
use stack::Deployment;

use crate::support::client::{Heard, Verdict, judge, pay_once};
use crate::support::database::{allow_settlement, hold_invoice, refuse_settlement, run};
use crate::support::queue::{
    parked, pause, resolve, set_paused, until_empty, until_holds, until_parked,
};
use crate::support::truth::{check, standing};
use crate::support::wait::eventually;
use crate::support::world::{Debtor, PRICE, quick};

const LIMIT: Duration = Duration::from_secs(10);

/// Pays one invoice of each debtor in one batch: the queue is paused until all wait in it.
async fn pay_in_one_batch(deployment: &Deployment, debtors: &[Debtor]) -> Vec<Heard> {
    pause(deployment).await;
    let calls = debtors.iter().map(async |debtor| {
        judge(
            debtor.invoice(),
            &debtor.console.pay(debtor.invoice()).await.unwrap(),
        )
    });
    let release = async {
        until_holds(deployment, debtors.len() as u64).await;
        set_paused(deployment, false).await;
    };
    tokio::join!(join_all(calls), release).0
}

#[tokio::test]
async fn a_refused_settlement_fails_alone_and_can_be_retried() {
    let deployment = quick()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "5000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 20, 1).await;
    let guilty = debtors[7].invoice();
    refuse_settlement(deployment.pool(), guilty, "23514").await;

    let heard = pay_in_one_batch(&deployment, &debtors).await;
    for (debtor, heard) in debtors.iter().zip(&heard) {
        if debtor.invoice() == guilty {
            assert_eq!(*heard, Heard::Again("settlement_pending".to_owned()));
        } else {
            assert_eq!(*heard, Heard::Definite(Verdict::Paid { balance_micro: 0 }));
        }
    }
    assert_eq!(
        standing(deployment.pool(), guilty).await,
        ("pending".to_owned(), 0)
    );

    let jobs = until_parked(&deployment, 1).await;
    assert!(
        jobs[0]["reason"]
            .as_str()
            .unwrap()
            .contains("planted refusal"),
        "{}",
        jobs[0]
    );
    assert!(
        jobs[0]["payload"].as_str().unwrap().contains(guilty),
        "{}",
        jobs[0]
    );
    until_empty(&deployment, LIMIT).await;
    assert_eq!(
        parked(&deployment).await.len(),
        1,
        "one call leaves one job to the operator"
    );

    allow_settlement(deployment.pool()).await;
    resolve(&deployment, &jobs[0], "retry").await;
    eventually("the retried job settles", LIMIT, async || {
        (standing(deployment.pool(), guilty).await == ("paid".to_owned(), 1)).then_some(())
    })
    .await;
    assert!(parked(&deployment).await.is_empty());
    assert!(pay_once(&debtors[7].console, guilty).await.is_paid());
    check(deployment.pool(), &debtors, &[]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_taken_debit_slot_is_told_and_fails_alone() {
    let deployment = quick().start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 10, 1).await;
    let guilty = &debtors[3];
    // A debit without its settlement, as no code here writes it.
    let user = guilty.console.user_id();
    let plant = format!(
        "insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                                user_balance_after, at)
         values ('user:00000000-0000-0000-0000-000000000000', 'revenue', 1, 'invoice_debit', '{}',
                 '00000000-0000-0000-0000-000000000000', 0, now())",
        guilty.invoice()
    );
    run(deployment.pool(), plant).await;
    let heard = pay_in_one_batch(&deployment, &debtors).await;
    for (debtor, heard) in debtors.iter().zip(&heard) {
        let expected = if debtor.console.user_id() == user {
            Verdict::refused("already_debited")
        } else {
            Verdict::Paid { balance_micro: 0 }
        };
        assert_eq!(*heard, Heard::Definite(expected));
    }
    let uproot = "alter table transfers disable trigger transfers_immutable;
                  delete from transfers where user_id = '00000000-0000-0000-0000-000000000000';
                  alter table transfers enable trigger transfers_immutable;";
    run(deployment.pool(), uproot).await;
    let verdict = pay_once(&guilty.console, guilty.invoice()).await;
    assert_eq!(verdict, Verdict::Paid { balance_micro: 0 });
    check(deployment.pool(), &debtors, &[]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_locked_row_holds_up_its_own_user_only() {
    let deployment = quick()
        .env("QUITTANCE_DB_LOCK_TIMEOUT_MS", "500")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 20, 1).await;
    let (held, others) = debtors.split_first().unwrap();
    pause(&deployment).await;
    let holder = hold_invoice(deployment.pool(), held.invoice()).await;
    let waiting = {
        let held = held.clone();
        tokio::spawn(async move { pay_once(&held.console, held.invoice()).await })
    };
    until_holds(&deployment, 1).await;
    for heard in pay_in_one_batch(&deployment, others).await {
        assert_eq!(heard, Heard::Definite(Verdict::Paid { balance_micro: 0 }));
    }
    assert!(!waiting.is_finished(), "its invoice is still locked");
    holder.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap(), Verdict::Paid { balance_micro: 0 });
    check(deployment.pool(), &debtors, &[]).await;
    deployment.finish().await.unwrap();
}

/// A job that never ends, whose caller waits so long, must be parked after so many deliveries for this reason, and settle
/// when an operator retries it.
async fn park_and_retry(caller_waits_ms: u32, deliveries: u32, reason: &str) {
    let deployment = quick()
        .env("QUITTANCE_QUEUE_DELIVERIES_MAX", "2")
        .env("QUITTANCE_PAY_HANDLER_TIMEOUT_MS", "400")
        // The batch gives the row up twice before the job is delivered again.
        .env("QUITTANCE_DB_LOCK_TIMEOUT_MS", "300")
        .env("QUITTANCE_QUEUE_VISIBILITY_TIMEOUT_MS", "1500")
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", caller_waits_ms.to_string())
        // A second copy is too late for anything.
        .env("QUITTANCE_PAY_RESEND_MS", (caller_waits_ms - 1).to_string())
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create(&deployment, PRICE, 1).await;
    let holder = hold_invoice(deployment.pool(), debtor.invoice()).await;
    let answer = debtor.console.pay(debtor.invoice()).await.unwrap();
    let heard = judge(debtor.invoice(), &answer);
    assert_eq!(heard, Heard::Again("settlement_pending".to_owned()));

    let jobs = until_parked(&deployment, 1).await;
    assert_eq!(jobs[0]["deliveries"], deliveries, "{}", jobs[0]);
    assert!(
        jobs[0]["reason"].as_str().unwrap().contains(reason),
        "{}",
        jobs[0]
    );
    until_empty(&deployment, LIMIT).await;
    let unpaid = standing(deployment.pool(), debtor.invoice()).await;
    assert_eq!(unpaid, ("pending".to_owned(), 0));

    holder.rollback().await.unwrap();
    for job in parked(&deployment).await {
        resolve(&deployment, &job, "retry").await;
    }
    eventually("the retried job settles", LIMIT, async || {
        (standing(deployment.pool(), debtor.invoice()).await == ("paid".to_owned(), 1))
            .then_some(())
    })
    .await;
    until_empty(&deployment, LIMIT).await;
    assert!(parked(&deployment).await.is_empty());
    check(deployment.pool(), &[debtor], &[]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_job_delivered_too_often_is_parked_and_can_be_retried() {
    park_and_retry(5000, 3, "more than 2 times").await;
}

#[tokio::test]
async fn a_job_that_takes_its_callers_whole_time_is_parked_and_can_be_retried() {
    // Delivered once more, it would be too late to count.
    park_and_retry(1000, 1, "took too long").await;
}
