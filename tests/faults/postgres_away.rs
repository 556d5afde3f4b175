//! Postgres dies, restarts, freezes, or refuses for a moment.

use std::time::Duration;

use stack::Deployment;
use stack::deployment::Builder;
use tokio::time::Instant;

use crate::support::client::{Connections, pay_once};
use crate::support::database::{
    fail_first_settlements, hold_invoice, slow_settlement, until_published, until_settling,
};
use crate::support::queue::{parked, until_empty};
use crate::support::storm::Storm;
use crate::support::truth::{check, check_all_paid};
use crate::support::wait::turn_to_kill_servers;
use crate::support::world::{Debtor, quick};

async fn with_own_postgres(builder: Builder) -> Deployment {
    builder
        .apis(2)
        .workers(2)
        .private_postgres()
        .start()
        .await
        .unwrap()
}

/// Payments in full swing.
async fn under_way(deployment: &Deployment) -> (Vec<Debtor>, Storm) {
    let debtors = Debtor::create_many(deployment, 10, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(4)).await;
    let storm = Storm::start(deployment, &debtors, 48, Connections::Hold);
    storm.until(20).await;
    (debtors, storm)
}

async fn check_everything(deployment: &Deployment, debtors: &[Debtor], storm: Storm) {
    let settled = storm.end().await;
    check_all_paid(deployment.pool(), debtors, &settled).await;
    until_published(deployment.pool(), Duration::from_secs(10)).await;
    until_empty(deployment, Duration::from_secs(20)).await;
    assert!(parked(deployment).await.is_empty());
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_death_of_postgres() {
    let _turn = turn_to_kill_servers().await;
    let deployment = with_own_postgres(quick()).await;
    let debtors = Debtor::create_many(&deployment, 15, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(6)).await;
    let postgres = deployment.private_postgres().unwrap();
    let storm = Storm::start(&deployment, &debtors, 32, Connections::Hold);
    for percent in [10, 35, 60] {
        storm.until(percent).await;
        until_settling(deployment.pool()).await;
        postgres.kill().await.unwrap();
        storm.assert_under_way();
        let before = storm.answered();
        postgres.start_again().await.unwrap();
        let accepting = Instant::now();
        storm.until_answered(before + 1).await;
        let back = accepting.elapsed();
        println!("serving again {back:?} after Postgres");
        assert!(
            back <= Duration::from_secs(10),
            "serving again only after {back:?}"
        );
    }
    check_everything(&deployment, &debtors, storm).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_clean_restart_of_postgres_under_load_loses_nothing() {
    let _turn = turn_to_kill_servers().await;
    let deployment = with_own_postgres(quick()).await;
    let debtors = Debtor::create_many(&deployment, 15, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(4)).await;
    let postgres = deployment.private_postgres().unwrap();
    let storm = Storm::start(&deployment, &debtors, 48, Connections::Hold);
    for percent in [15, 50] {
        storm.until(percent).await;
        postgres.stop().await.unwrap();
        storm.assert_under_way();
        postgres.start_again().await.unwrap();
    }
    check_everything(&deployment, &debtors, storm).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_frozen_postgres_delays_and_loses_nothing() {
    let _turn = turn_to_kill_servers().await;
    let builder = quick().env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "2000");
    let deployment = with_own_postgres(builder).await;
    let (debtors, storm) = under_way(&deployment).await;
    let postgres = deployment.private_postgres().unwrap();
    postgres.pause().await.unwrap();
    let asked = Instant::now();
    // Longer than calls wait: they end as 503, and each of them finds the truth afterwards.
    tokio::time::sleep(Duration::from_secs(4)).await;
    storm.assert_under_way();
    postgres.resume().unwrap();
    println!("frozen for {:?}", asked.elapsed());
    check_everything(&deployment, &debtors, storm).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn an_outage_of_postgres_longer_than_a_job_may_take_parks_nothing() {
    let _turn = turn_to_kill_servers().await;
    let deployment = with_own_postgres(quick()).await;
    let (debtors, storm) = under_way(&deployment).await;
    let postgres = deployment.private_postgres().unwrap();
    postgres.stop().await.unwrap();
    // Longer than that by default: jobs that are given up are parked as soon as Postgres is back.
    tokio::time::sleep(Duration::from_secs(12)).await;
    storm.assert_under_way();
    postgres.start_again().await.unwrap();
    check_everything(&deployment, &debtors, storm).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn failures_that_pass_are_retried_unseen() {
    let deployment = quick().start().await.unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 3).await.remove(0);
    // Serialization failure, deadlock, lock timeout, out of connections, read-only during a failover, disk trouble.
    let passing = ["40001", "40P01", "55P03", "53300", "25006", "58030"];
    fail_first_settlements(deployment.pool(), &passing).await;
    let settled = Storm::start(
        &deployment,
        std::slice::from_ref(&debtor),
        3,
        Connections::Hold,
    )
    .end()
    .await;
    for one in &settled {
        assert_eq!(one.retries, [""; 0], "{one:?}");
    }
    check_all_paid(deployment.pool(), std::slice::from_ref(&debtor), &settled).await;
    assert!(parked(&deployment).await.is_empty());
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_row_lock_held_for_seconds_only_delays_its_payment() {
    let deployment = quick().start().await.unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 1).await.remove(0);
    let holder = hold_invoice(deployment.pool(), debtor.invoice()).await;
    let call = {
        let debtor = debtor.clone();
        tokio::spawn(async move { pay_once(&debtor.console, debtor.invoice()).await })
    };
    // Past the lock timeout (2 s), so that the settlement fails once and is tried again.
    deployment
        .worker(0)
        .wait_for_log("settlement delayed", Duration::from_secs(5))
        .await
        .unwrap();
    assert!(!call.is_finished());
    holder.rollback().await.unwrap();
    assert!(call.await.unwrap().is_paid());
    check(deployment.pool(), &[debtor], &[]).await;
    deployment.finish().await.unwrap();
}
