//! Postgres or a watcher is away while payments come.

use fault_kit::TopicKind;

use crate::books::{moved, until_paid_once};
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, until};

#[tokio::test]
async fn payments_that_come_while_postgres_is_away_are_settled_afterwards() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder().private_postgres()).await;
    let bills = Bill::several(&deployment, 3).await;
    let postgres = deployment.private_postgres().unwrap();
    postgres.kill().await.unwrap();
    let payments = bills.iter().map(|bill| net.payment(bill));
    net.chain.land_all(payments);
    // The notifications of all of them are out, and what they said could not be kept.
    deployment
        .watcher(0)
        .wait_for_log("notifications wait for polling", LIMIT)
        .await
        .unwrap();

    postgres.start_again().await.unwrap();

    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn payments_that_come_while_postgres_answers_nothing_are_settled_afterwards() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder().private_postgres()).await;
    let bills = Bill::several(&deployment, 3).await;
    let postgres = deployment.private_postgres().unwrap();
    postgres.pause().await.unwrap();
    net.chain
        .land_all(bills.iter().map(|bill| net.payment(bill)));
    let slot = net.chain.slot() + 100;
    until("slots go by", async || {
        (net.chain.slot() >= slot).then_some(())
    })
    .await;

    postgres.resume().unwrap();

    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_frozen_watchers_keys_move_and_nothing_is_doubled_when_it_wakes() {
    let net = Net::start(1).await;
    // The accounts' histories and subscriptions alone find payments.
    let builder = net
        .builder()
        .watchers(2)
        .env("QUITTANCE_WATCH_REFERENCES_PER_SECOND", "0");
    let deployment = net.launch(builder).await;
    let holders = async || -> Vec<uuid::Uuid> {
        sqlx::query_scalar(
            "select distinct holder from watched_keys where lease_until > now() order by holder",
        )
        .fetch_all(deployment.pool())
        .await
        .unwrap()
    };
    until("both have keys", async || {
        (holders().await.len() == 2).then_some(())
    })
    .await;
    let bills = Bill::several(&deployment, 6).await;

    deployment.watcher(0).pause().await.unwrap();
    net.chain
        .land_all(bills[..3].iter().map(|bill| net.payment(bill)));

    let first: Vec<&Bill> = bills[..3].iter().collect();
    until_paid_once(&deployment, &first).await;
    until("one has them all", async || {
        (holders().await.len() == 1).then_some(())
    })
    .await;
    let on_logs = |one: &fault_kit::node::Subscription| one.topic.kind() == TopicKind::Logs;
    assert!(
        net.node()
            .subscriptions()
            .iter()
            .filter(|one| on_logs(one))
            .count()
            >= 4
    );
    deployment.watcher(0).resume().unwrap();
    net.chain
        .land_all(bills[3..].iter().map(|bill| net.payment(bill)));
    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    until("both have keys again", async || {
        (holders().await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(moved(&deployment).await.0, 6);
    deployment.finish().await.unwrap();
}
