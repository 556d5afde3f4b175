//! Watchers that die at bad moments.

use std::time::Duration;

use fault_kit::{Fault, Reply, RpcMethod};
use rand::RngExt as _;
use time::OffsetDateTime;

use crate::books::{events, moved, until_paid_once, until_published};
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, next_event, until, until_received};

#[tokio::test]
async fn case_50_watchers_killed_at_random_moments_settle_each_payment_once() {
    const ROUNDS: usize = 6;
    const EACH: usize = 3;
    let net = Net::start(1).await;
    let mut deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, ROUNDS * EACH).await;
    let mut streams = Vec::new();
    for bill in &bills {
        let mut stream = bill.console.invoice_stream(&bill.id).await.unwrap();
        assert_eq!(next_event(&mut stream).await.0, "snapshot");
        streams.push(stream);
    }
    for (round, some) in bills.chunks(EACH).enumerate() {
        net.chain
            .land_all(some.iter().map(|bill| net.payment(bill)));
        // From before it is found to after it is settled.
        let moment = rand::rng().random_range(0..1_500);
        println!("round {round}: killed after {moment} ms");
        tokio::time::sleep(Duration::from_millis(moment)).await;
        deployment.kill_watcher(round).await;
        deployment.start_watcher().await.unwrap();
    }

    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    for mut stream in streams {
        let mut last = next_event(&mut stream).await;
        while last.0 == "invoice_progress" {
            last = next_event(&mut stream).await;
        }
        assert_eq!(last.0, "invoice_paid");
        assert_eq!(stream.next_event(LIMIT).await.unwrap(), None);
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_50_what_a_killed_watcher_was_examining_is_examined_again() {
    let net = Net::start(1).await;
    let mut deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let payment = net.payment(&bill);
    // Asked again at finality, so both looks meet it.
    let hang = Fault::on(RpcMethod::GetTransaction).mentioning(&payment.signature);
    net.node().fault(hang.first(1).reply(Reply::Hang));
    net.chain.land(payment);
    net.node()
        .wait_for_calls(RpcMethod::GetTransaction, 1, LIMIT)
        .await
        .unwrap();
    deployment.kill_watcher(0).await;
    assert_eq!(moved(&deployment).await, (0, 0));
    let held_until: OffsetDateTime =
        sqlx::query_scalar("select next_at from chain_signatures where taken_by is not null")
            .fetch_one(deployment.pool())
            .await
            .unwrap();

    deployment.start_watcher().await.unwrap();

    until_paid_once(&deployment, &[&bill]).await;
    let in_time: bool = sqlx::query_scalar("select settled_at < $1 from chain_credits")
        .bind(held_until)
        .fetch_one(deployment.pool())
        .await
        .unwrap();
    assert!(in_time, "it was not waited for until its hold was over");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_50_a_watcher_killed_between_commit_and_publishing_loses_no_event() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder().private_redis()).await;
    let bill = Bill::new(&deployment).await;
    let signature = net.chain.land(net.payment(&bill));
    net.chain.confirm(&signature).unwrap();
    until_received(&bill, bill.micro).await;
    until_published(&deployment).await;
    let redis = deployment.private_redis().unwrap();
    redis.pause().await.unwrap();
    net.chain.finalize(&signature).unwrap();
    until("it is paid in the books", async || {
        (moved(&deployment).await == (1, bill.micro)).then_some(())
    })
    .await;
    let open: i64 =
        sqlx::query_scalar("select count(*) from outbox_batches where published_at is null")
            .fetch_one(deployment.pool())
            .await
            .unwrap();
    assert_eq!(open, 1);

    deployment.kill_watcher(0).await;
    redis.resume().unwrap();

    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(events(&deployment, &bill, "invoice_paid").await, 1);
    deployment.finish().await.unwrap();
}
