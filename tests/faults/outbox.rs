//! Events that were committed and never published: the process died in between, or Redis was away.

use std::time::Duration;

use sqlx::PgPool;
use stack::{Deployment, Frames};

use crate::support::client::pay_once;
use crate::support::database::until_published;
use crate::support::truth::check;
use crate::support::wait::turn_to_kill_servers;
use crate::support::world::{Debtor, PRICE, quick};

const LIMIT: Duration = Duration::from_secs(15);

/// Settles as a worker would that dies right after its commit.
async fn settle_and_die(pool: &PgPool, debtor: &Debtor, invoice: &str) {
    let outcomes: Vec<String> = sqlx::query_scalar(
        "select outcomes from settle_from_balance(array[$1], array[$2], array['0123456789abcdef0123456789abcdef'])",
    )
    .bind(invoice)
    .bind(debtor.console.user_id())
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(outcomes, ["paid"]);
}

/// Opens a stream and takes its snapshot.
async fn opened(stream: Result<Frames, stack::client::ClientError>) -> Frames {
    let mut stream = stream.unwrap();
    assert_eq!(next(&mut stream).await.0, "snapshot");
    stream
}

async fn next(stream: &mut Frames) -> (String, serde_json::Value) {
    stream
        .next_event(LIMIT)
        .await
        .unwrap()
        .expect("the stream is open")
}

/// The next events of a balance stream: names and invoices, until one about this invoice.
async fn debits_until(stream: &mut Frames, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some(last) {
        let (kind, data) = next(stream).await;
        assert_eq!(kind, "balance_debit", "{data}");
        seen.push(data["ref_invoice_id"].as_str().unwrap().to_owned());
    }
    seen
}

#[tokio::test]
async fn the_sweep_delivers_what_a_dead_worker_did_not() {
    let deployment = quick().start().await.unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 2).await.remove(0);
    let mut balance = opened(debtor.console.balance_stream().await).await;
    let mut invoice = opened(debtor.console.invoice_stream(&debtor.invoices[0]).await).await;
    until_published(deployment.pool(), LIMIT).await;

    settle_and_die(deployment.pool(), &debtor, &debtor.invoices[0]).await;
    let (kind, data) = next(&mut balance).await;
    assert_eq!(
        (kind.as_str(), &data["new_balance"]),
        ("balance_debit", &PRICE.into())
    );
    assert_eq!(data["ref_invoice_id"], debtor.invoices[0]);
    let (kind, _) = next(&mut invoice).await;
    assert_eq!(kind, "invoice_paid");
    assert!(
        invoice.next_event(LIMIT).await.unwrap().is_none(),
        "the stream closes"
    );
    until_published(deployment.pool(), LIMIT).await;

    // Paying again what was paid says so, and the next payment's event follows the late one.
    assert!(
        pay_once(&debtor.console, &debtor.invoices[0])
            .await
            .is_paid()
    );
    assert!(
        pay_once(&debtor.console, &debtor.invoices[1])
            .await
            .is_paid()
    );
    assert_eq!(
        debits_until(&mut balance, &debtor.invoices[1]).await,
        [debtor.invoices[1].clone()]
    );
    check(deployment.pool(), &[debtor], &[]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn an_unpublished_event_is_told_before_its_successor_and_once() {
    let deployment = quick()
        .env("QUITTANCE_SWEEP_OUTBOX_AGE_MS", "3000")
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 5).await.remove(0);
    let mut balance = opened(debtor.console.balance_stream().await).await;
    for invoice in &debtor.invoices[..3] {
        settle_and_die(deployment.pool(), &debtor, invoice).await;
    }
    // Published at once, while its three predecessors are not.
    assert!(
        pay_once(&debtor.console, &debtor.invoices[3])
            .await
            .is_paid()
    );
    let seen = debits_until(&mut balance, &debtor.invoices[3]).await;
    assert_eq!(seen, debtor.invoices[..4]);
    // The sweep publishes those three late; the stream has told them already.
    until_published(deployment.pool(), LIMIT).await;
    assert!(
        pay_once(&debtor.console, &debtor.invoices[4])
            .await
            .is_paid()
    );
    let seen = debits_until(&mut balance, &debtor.invoices[4]).await;
    assert_eq!(seen, [debtor.invoices[4].clone()]);
    check(deployment.pool(), &[debtor], &[]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_new_worker_delivers_what_the_last_one_left() {
    let mut deployment = quick().start().await.unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 1).await.remove(0);
    let mut invoice = opened(debtor.console.invoice_stream(debtor.invoice()).await).await;
    deployment.kill_worker(0).await;
    settle_and_die(deployment.pool(), &debtor, debtor.invoice()).await;
    assert!(
        invoice
            .next_event(Duration::from_millis(500))
            .await
            .is_err(),
        "nobody can tell"
    );
    deployment.start_worker().await.unwrap();
    assert_eq!(next(&mut invoice).await.0, "invoice_paid");
    check(deployment.pool(), &[debtor], &[]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn streams_catch_up_when_redis_returns() {
    let _turn = turn_to_kill_servers().await;
    let deployment = quick().private_redis().start().await.unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 3).await.remove(0);
    let mut balance = opened(debtor.console.balance_stream().await).await;
    let mut invoice = opened(debtor.console.invoice_stream(&debtor.invoices[0]).await).await;
    let redis = deployment.private_redis().unwrap();
    redis.kill().await.unwrap();
    // A stream can be opened meanwhile, and shows where things stand.
    let mut meanwhile = opened(debtor.console.balance_stream().await).await;
    for id in &debtor.invoices[..2] {
        settle_and_die(deployment.pool(), &debtor, id).await;
    }
    redis.start_again().await.unwrap();

    assert_eq!(next(&mut invoice).await.0, "invoice_paid");
    for stream in [&mut balance, &mut meanwhile] {
        assert_eq!(
            debits_until(stream, &debtor.invoices[1]).await,
            debtor.invoices[..2]
        );
        let (kind, snapshot) = next(stream).await;
        assert_eq!(
            (kind.as_str(), &snapshot["amount_micro"]),
            ("snapshot", &PRICE.into())
        );
    }

    // What the sweep publishes late was told already; only what is new follows.
    until_published(deployment.pool(), LIMIT).await;
    assert!(
        pay_once(&debtor.console, &debtor.invoices[2])
            .await
            .is_paid()
    );
    for stream in [&mut balance, &mut meanwhile] {
        let seen = debits_until(stream, &debtor.invoices[2]).await;
        assert_eq!(seen, [debtor.invoices[2].clone()]);
    }
    check(deployment.pool(), &[debtor], &[]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn every_kind_of_lost_event_is_delivered() {
    let deployment: Deployment = quick().start().await.unwrap();
    let debtor = Debtor::create_many(&deployment, 1, 2).await.remove(0);
    let user = debtor.console.user_id();
    let mut balance = opened(debtor.console.balance_stream().await).await;
    let mut cancelled = opened(debtor.console.invoice_stream(&debtor.invoices[0]).await).await;
    sqlx::query("select adjust_balance($1, 7, 'fault', 'fault', 'trace')")
        .bind(user)
        .execute(deployment.pool())
        .await
        .unwrap();
    sqlx::query("select cancel_invoice($1, $2, 'trace')")
        .bind(&debtor.invoices[0])
        .bind(user)
        .execute(deployment.pool())
        .await
        .unwrap();
    let (kind, data) = next(&mut balance).await;
    assert_eq!(
        (kind.as_str(), &data["delta_micro"]),
        ("balance_credit", &7.into())
    );
    assert_eq!(next(&mut cancelled).await.0, "invoice_cancelled");
    assert!(
        cancelled.next_event(LIMIT).await.unwrap().is_none(),
        "the stream closes"
    );
    deployment.finish().await.unwrap();
}
