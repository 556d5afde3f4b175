//! Workers that die, freeze or leave in the middle of their work.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::client::{Connections, pay_once};
use crate::support::database::{
    close_gate, open_gate, slow_settlement, until_settling, usual_settlement,
};
use crate::support::queue::{parked, pending, until_empty, until_holds};
use crate::support::storm::Storm;
use crate::support::truth::{check_all_paid, standing};
use crate::support::wait::eventually;
use crate::support::world::{Debtor, close, quick, quick_to_take_over};

/// How soon the jobs of a silent worker are done by another (visibility timeout, sweep, and some work).
const TAKEN_OVER: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_worker_killed_in_mid_batch_leaves_its_jobs_to_the_other() {
    let deployment = quick_to_take_over().workers(2).start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 10, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(5)).await;
    let storm = Storm::start(&deployment, &debtors, 64, Connections::Hold);
    storm.until(20).await;
    until_settling(deployment.pool()).await;
    deployment.kill_worker(0).await;
    storm.assert_under_way();
    let settled = storm.end().await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    until_empty(&deployment, TAKEN_OVER).await;
    assert!(parked(&deployment).await.is_empty());
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn calls_left_by_the_only_worker_are_settled_by_a_new_one_before_they_give_up() {
    let mut deployment = quick().start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 10, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(5)).await;
    let storm = Storm::start(&deployment, &debtors, 200, Connections::Hold);
    storm.until(10).await;
    until_settling(deployment.pool()).await;
    deployment.kill_worker(0).await;
    storm.assert_under_way();
    usual_settlement(deployment.pool()).await;
    until_holds(&deployment, 200).await;

    deployment.start_worker().await.unwrap();
    let up = Instant::now();
    let settled = storm.end().await;
    println!(
        "answered {:?} after the start of the new worker",
        up.elapsed()
    );
    // Whatever waits for the dead worker's time to be over gets 503, and asks again.
    for one in &settled {
        assert_eq!(one.retries, [""; 0], "{one:?}");
    }
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_worker_frozen_past_the_visibility_timeout_wakes_up_to_finished_work() {
    let mut deployment = quick_to_take_over()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "14000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 5, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(5)).await;
    let storm = Storm::start(&deployment, &debtors, 100, Connections::Hold);
    storm.until(5).await;
    until_settling(deployment.pool()).await;
    deployment.worker(0).pause().await.unwrap();
    storm.assert_under_way();
    assert!(
        !pending(&deployment).await.ids.is_empty(),
        "the frozen worker holds jobs"
    );

    deployment.start_worker().await.unwrap();
    let settled = storm.end().await;
    until_empty(&deployment, TAKEN_OVER).await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;

    // The frozen worker wakes up to answers nobody waits for, and goes on working: alone, it still serves.
    deployment.worker(0).resume().unwrap();
    assert!(deployment.worker(1).terminate().await.unwrap().success());
    let late = Debtor::create_many(&deployment, 1, 1).await;
    assert!(
        pay_once(&late[0].console, late[0].invoice())
            .await
            .is_paid()
    );
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    assert!(parked(&deployment).await.is_empty());
    close(deployment).await;
}

#[tokio::test]
async fn workers_that_are_replaced_one_after_the_other_fail_no_call() {
    let mut deployment = quick().workers(2).start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 15, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(5)).await;
    let storm = Storm::start(&deployment, &debtors, 32, Connections::Hold);
    for (number, percent) in [(0, 10), (1, 45)] {
        storm.until(percent).await;
        let status = storm.stop(deployment.worker(number)).await;
        assert_eq!(
            status.code(),
            Some(0),
            "{:?}",
            deployment.worker(number).logs().last()
        );
        deployment.start_worker().await.unwrap();
    }
    let settled = storm.end().await;
    // A worker that stops finishes what it holds, so nobody even has to ask again.
    for one in &settled {
        assert_eq!(one.retries, [""; 0], "{one:?}");
    }
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    until_empty(&deployment, Duration::from_secs(5)).await;
    close(deployment).await;
}

#[tokio::test]
async fn a_worker_killed_after_the_commit_has_paid_and_the_call_says_so() {
    let mut deployment = quick()
        .env("QUITTANCE_DB_STATEMENT_TIMEOUT_MS", "20000")
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 1).await.remove(0);
    close_gate(deployment.pool()).await;
    let call = {
        let debtor = debtor.clone();
        tokio::spawn(async move { pay_once(&debtor.console, debtor.invoice()).await })
    };
    until_settling(deployment.pool()).await;
    deployment.kill_worker(0).await;
    open_gate(deployment.pool()).await;
    // The statement was sent whole: the database carries it out, and nobody is left to reply or to publish.
    eventually("the database commits", Duration::from_secs(5), async || {
        let standing = standing(deployment.pool(), debtor.invoice()).await;
        (standing == ("paid".to_owned(), 1)).then_some(())
    })
    .await;
    assert!(!call.is_finished());
    let mut stream = debtor.console.balance_stream().await.unwrap();
    let (kind, snapshot) = stream
        .next_event(Duration::from_secs(5))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (kind.as_str(), &snapshot["amount_micro"]),
        ("snapshot", &0.into())
    );
    deployment.start_worker().await.unwrap();
    assert!(call.await.unwrap().is_paid());
    assert_eq!(standing(deployment.pool(), debtor.invoice()).await.1, 1);
    deployment.finish().await.unwrap();
}
