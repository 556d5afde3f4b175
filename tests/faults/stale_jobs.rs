//! Copies of a job that outlive their call: a refusal that was answered stays true until the user pays again.

use std::time::Duration;

use stack::secret::random_token;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::client::{Connections, Settled, Verdict, pay_once, pay_until_definite};
use crate::support::database::{close_gate, hold_invoice, open_gate, until_settling};
use crate::support::queue::{pause, pending, set_paused, take_and_fall_silent, until_empty};
use crate::support::truth::{balance, standing};
use crate::support::wait::{eventually, turn_to_kill_servers};
use crate::support::world::{Debtor, PRICE, close, quick, quick_to_take_over};

const LIMIT: Duration = Duration::from_secs(20);

/// A call that goes on by itself.
fn pay(debtor: &Debtor, invoice: usize) -> JoinHandle<Settled> {
    let (console, invoice) = (debtor.console.clone(), debtor.invoices[invoice].clone());
    tokio::spawn(async move { pay_until_definite(&[console], &invoice, Connections::Hold).await })
}

#[tokio::test]
async fn a_job_of_a_dead_worker_does_not_pay_after_the_call_was_refused() {
    let deployment = quick()
        .env("QUITTANCE_PAY_RESEND_MS", "200")
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "5000")
        .env("QUITTANCE_PAY_HANDLER_TIMEOUT_MS", "2000")
        .env("QUITTANCE_QUEUE_VISIBILITY_TIMEOUT_MS", "6000")
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create(&deployment, 0, 1).await;
    let user = debtor.console.user_id();
    pause(&deployment).await;
    let call = pay(&debtor, 0);
    // The first copy of the job goes to a worker that dies with it; the copy sent after it is carried out.
    eventually("the job waits", LIMIT, async || {
        take_and_fall_silent(&deployment).await.then_some(())
    })
    .await;
    set_paused(&deployment, false).await;
    let settled = call.await.unwrap();
    assert_eq!(settled.verdict, Verdict::refused("insufficient_balance"));
    assert_eq!(
        pending(&deployment).await.ids.len(),
        1,
        "the dead worker's copy is still there"
    );

    // The user tops up for something else. Nobody asks to pay that invoice any more.
    deployment
        .operator()
        .adjust(user, PRICE, "a top-up", &random_token())
        .await
        .unwrap();
    until_empty(&deployment, LIMIT).await;
    assert_eq!(
        standing(deployment.pool(), debtor.invoice()).await,
        ("pending".to_owned(), 0),
        "the call was answered 409 insufficient_balance, and then the invoice was paid all the same"
    );
    assert_eq!(balance(deployment.pool(), user).await, PRICE);

    assert!(pay_once(&debtor.console, debtor.invoice()).await.is_paid());
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_frozen_worker_does_not_pay_after_the_call_was_refused() {
    let mut deployment = quick()
        .env("QUITTANCE_DB_STATEMENT_TIMEOUT_MS", "20000")
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "6000")
        .env("QUITTANCE_PAY_HANDLER_TIMEOUT_MS", "5000")
        .env("QUITTANCE_QUEUE_VISIBILITY_TIMEOUT_MS", "7000")
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create(&deployment, PRICE, 2).await;
    let user = debtor.console.user_id();
    // The second payment waits inside the worker for the first one's commit when the worker freezes.
    close_gate(deployment.pool()).await;
    let first = pay(&debtor, 0);
    until_settling(deployment.pool()).await;
    let second = pay(&debtor, 1);
    eventually("the worker holds both jobs", LIMIT, async || {
        (pending(&deployment).await.ids.len() >= 2).then_some(())
    })
    .await;
    // On its way inside the worker from its queue's end to its batch, which cannot be seen from here.
    sleep(Duration::from_millis(200)).await;
    until_settling(deployment.pool()).await;
    deployment.worker(0).pause().await.unwrap();
    open_gate(deployment.pool()).await;
    eventually("the first payment commits", LIMIT, async || {
        let standing = standing(deployment.pool(), &debtor.invoices[0]).await;
        (standing.0 == "paid").then_some(())
    })
    .await;

    // Another worker answers both calls; the money was enough for one of them.
    deployment.start_worker().await.unwrap();
    assert!(first.await.unwrap().verdict.is_paid());
    let refused = second.await.unwrap().verdict;
    assert_eq!(refused, Verdict::refused("insufficient_balance"));
    // Emptied by taking over what the frozen worker holds: longer than any call waits.
    until_empty(&deployment, LIMIT).await;
    let key = random_token();
    let top_up = deployment.operator().adjust(user, PRICE, "a top-up", &key);
    assert_eq!(top_up.await.unwrap().new_balance_micro, PRICE);

    // It wakes up, finishes what it holds, and leaves.
    deployment.worker(0).resume().unwrap();
    let status = deployment.worker(0).terminate().await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        standing(deployment.pool(), &debtor.invoices[1]).await,
        ("pending".to_owned(), 0),
        "the call was answered 409 insufficient_balance, and then the invoice was paid all the same"
    );
    assert_eq!(balance(deployment.pool(), user).await, PRICE);
    close(deployment).await;
}

#[tokio::test]
async fn a_job_that_worked_for_long_does_not_pay_after_the_lock_was_answered() {
    let deployment = quick_to_take_over().start().await.unwrap();
    let debtor = Debtor::create(&deployment, PRICE, 1).await;
    let (user, operator) = (debtor.console.user_id(), deployment.operator());
    let holder = hold_invoice(deployment.pool(), debtor.invoice()).await;
    let call = pay(&debtor, 0);
    eventually("a worker holds the job", LIMIT, async || {
        (!pending(&deployment).await.ids.is_empty()).then_some(())
    })
    .await;
    assert_eq!(operator.lock(user).await.unwrap().status, 200);
    holder.rollback().await.unwrap();
    assert_eq!(
        call.await.unwrap().verdict,
        Verdict::refused("balance_locked")
    );
    until_empty(&deployment, LIMIT).await;
    assert_eq!(balance(deployment.pool(), user).await, PRICE);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_postgres_that_returns_after_the_call_was_refused_pays_nothing() {
    let _turn = turn_to_kill_servers().await;
    let deployment = quick()
        .private_postgres()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "2000")
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create(&deployment, PRICE, 1).await;
    let postgres = deployment.private_postgres().unwrap();
    postgres.stop().await.unwrap();
    let refused = debtor.console.pay(debtor.invoice()).await.unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    // The worker still waits for a connection, with the job in hand.
    postgres.start_again().await.unwrap();

    until_empty(&deployment, LIMIT).await;
    assert_eq!(
        standing(deployment.pool(), debtor.invoice()).await,
        ("pending".to_owned(), 0)
    );
    let paid = pay(&debtor, 0).await.unwrap();
    assert!(paid.verdict.is_paid());
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_wakes_up_after_the_call_was_refused_pays_nothing() {
    let _turn = turn_to_kill_servers().await;
    let deployment = quick()
        .private_redis()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "3000")
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create(&deployment, 3 * PRICE, 3).await;
    assert!(
        pay_once(&debtor.console, &debtor.invoices[0])
            .await
            .is_paid()
    );
    let redis = deployment.private_redis().unwrap();
    redis.pause().await.unwrap();
    let refused = debtor.console.pay(&debtor.invoices[1]).await.unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    // As long as it waits for Redis, the api may still mean what it sent.
    sleep(Duration::from_secs(3)).await;
    // The job lies in its socket, and is the first thing that it reads.
    redis.resume().unwrap();

    let paid = pay(&debtor, 2).await.unwrap();
    assert!(paid.verdict.is_paid());
    until_empty(&deployment, LIMIT).await;
    assert_eq!(
        standing(deployment.pool(), &debtor.invoices[1]).await,
        ("pending".to_owned(), 0)
    );
    deployment.finish().await.unwrap();
}
