//! A queue that is paused or full says so, and loses nothing.

use std::time::Duration;

use futures::future::join_all;
use stack::Deployment;
use tokio::time::Instant;

use crate::support::client::{Connections, Heard, judge};
use crate::support::queue::{length, pause, set_paused, stream, until_empty, until_holds};
use crate::support::storm::Storm;
use crate::support::truth::{check_all_paid, standing};
use crate::support::wait::eventually;
use crate::support::world::{Debtor, quick};

async fn call(debtor: &Debtor) -> Heard {
    judge(
        debtor.invoice(),
        &debtor.console.pay(debtor.invoice()).await.unwrap(),
    )
}

async fn all_paid_after_resume(deployment: Deployment, debtors: &[Debtor]) {
    set_paused(&deployment, false).await;
    let settled = Storm::start(&deployment, debtors, 8, Connections::Hold)
        .end()
        .await;
    check_all_paid(deployment.pool(), debtors, &settled).await;
    until_empty(&deployment, Duration::from_secs(5)).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_paused_queue_answers_pending_and_a_retry_after_resuming_succeeds() {
    let deployment = quick()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "2000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 10, 1).await;
    pause(&deployment).await;
    let asked = Instant::now();
    for heard in join_all(debtors.iter().map(call)).await {
        assert_eq!(heard, Heard::Again("settlement_pending".to_owned()));
    }
    let took = asked.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(12),
        "{took:?}"
    );
    for debtor in &debtors {
        let standing = standing(deployment.pool(), debtor.invoice()).await;
        assert_eq!(standing, ("pending".to_owned(), 0));
    }
    let queues = deployment.operator().queues().await.unwrap();
    assert_eq!(queues["queues"][0]["paused"], true);
    assert!(
        queues["queues"][0]["depth"].as_u64().unwrap() >= 10,
        "{queues}"
    );
    all_paid_after_resume(deployment, &debtors).await;
}

#[tokio::test]
async fn a_pause_outlives_every_worker() {
    let mut deployment = quick()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "2000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 3, 1).await;
    pause(&deployment).await;
    deployment.kill_worker(0).await;
    deployment.start_worker().await.unwrap();
    for heard in join_all(debtors.iter().map(call)).await {
        assert_eq!(heard, Heard::Again("settlement_pending".to_owned()));
    }
    all_paid_after_resume(deployment, &debtors).await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_takes_nothing_more() {
    let deployment = quick()
        .env("QUITTANCE_QUEUE_LENGTH_MAX", "4")
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "8000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 10, 1).await;
    pause(&deployment).await;
    let waiting = debtors[..4].to_vec();
    let waiting = tokio::spawn(async move { join_all(waiting.iter().map(call)).await });
    until_holds(&deployment, 4).await;

    let asked = Instant::now();
    for heard in join_all(debtors[4..].iter().map(call)).await {
        assert_eq!(heard, Heard::Again("queue_full".to_owned()));
    }
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "refused after {:?}",
        asked.elapsed()
    );
    for heard in waiting.await.unwrap() {
        assert_eq!(heard, Heard::Again("settlement_pending".to_owned()));
    }
    let mut redis = deployment.redis().await.unwrap();
    assert_eq!(
        length(&mut redis, &stream(&deployment)).await,
        4,
        "repetitions stay out, too"
    );
    all_paid_after_resume(deployment, &debtors).await;
}

#[tokio::test]
async fn an_api_with_too_many_waiting_calls_refuses_more() {
    let deployment = quick()
        .env("QUITTANCE_PAY_WAITERS_MAX", "3")
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "8000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 5, 1).await;
    pause(&deployment).await;
    let waiting = debtors[..3].to_vec();
    let waiting = tokio::spawn(async move { join_all(waiting.iter().map(call)).await });
    until_holds(&deployment, 3).await;
    for debtor in &debtors[3..] {
        assert_eq!(call(debtor).await, Heard::Again("queue_full".to_owned()));
    }
    for heard in waiting.await.unwrap() {
        assert_eq!(heard, Heard::Again("settlement_pending".to_owned()));
    }
    all_paid_after_resume(deployment, &debtors).await;
}

#[tokio::test]
async fn callers_who_leave_free_their_places() {
    let deployment = quick()
        .env("QUITTANCE_PAY_WAITERS_MAX", "3")
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "9000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 6, 1).await;
    pause(&deployment).await;
    let waiting = debtors[..3].to_vec();
    let waiting = tokio::spawn(async move { join_all(waiting.iter().map(call)).await });
    until_holds(&deployment, 3).await;
    assert_eq!(
        call(&debtors[3]).await,
        Heard::Again("queue_full".to_owned())
    );
    // The three go away in the middle of their wait: others may wait now.
    waiting.abort();
    let probe = debtors[4].clone();
    let limit = Duration::from_millis(500);
    eventually("a place is free", Duration::from_secs(5), async || {
        let waits = tokio::time::timeout(limit, call(&probe)).await.is_err();
        waits.then_some(())
    })
    .await;
    all_paid_after_resume(deployment, &debtors).await;
}
