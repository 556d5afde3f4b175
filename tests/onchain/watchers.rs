//! Watchers that die, and watchers that do the same work.

use futures::future::join_all;
use stack::Deployment;

use crate::scene::{Asked, builder, invoice, payer, top_up, until, until_status};

/// So many invoices of so many users, paid one after the other by one wallet.
async fn invoices(deployment: &Deployment, count: usize) -> Vec<(stack::Console, Asked)> {
    let one = async |_| {
        let console = deployment.user().await.unwrap();
        let asked = invoice(
            &console,
            &top_up("sol-spl-usdc", "crypto-onchain", 1_000_000),
        )
        .await;
        (console, asked)
    };
    let mut made = Vec::new();
    for chunk in (0..count).collect::<Vec<_>>().chunks(20) {
        made.extend(join_all(chunk.iter().map(one)).await);
    }
    made
}

/// Pays all of them, several at a time.
async fn pay_all(deployment: &Deployment, invoices: &[(stack::Console, Asked)]) {
    let wallet = payer(deployment).await;
    let chain = deployment.chain();
    for chunk in invoices.chunks(20) {
        let payments = chunk.iter().map(async |(_, asked)| {
            let steps = asked.pay(chain, &wallet.address(), asked.units);
            chain.transact(&wallet, &[], &steps).await.unwrap();
        });
        join_all(payments).await;
    }
}

async fn all_paid_once(deployment: &Deployment, invoices: &[(stack::Console, Asked)]) {
    until("all are paid", async || {
        let paid: i64 = sqlx::query_scalar("select count(*) from invoices where status = 'paid'")
            .fetch_one(deployment.pool())
            .await
            .unwrap();
        (usize::try_from(paid).unwrap() == invoices.len()).then_some(())
    })
    .await;
    let (credits, transfers): (i64, i64) = sqlx::query_as(
        "select (select count(*) from chain_credits),
                (select count(*) from transfers where kind = 'payment_credit')",
    )
    .fetch_one(deployment.pool())
    .await
    .unwrap();
    let expected = i64::try_from(invoices.len()).unwrap();
    assert_eq!((credits, transfers), (expected, expected));
}

#[tokio::test]
async fn a_watcher_that_was_dead_for_a_minute_settles_what_was_paid_meanwhile() {
    let mut deployment = builder()
        .env("QUITTANCE_WATCH_LEASE_MS", "2000")
        .start()
        .await
        .unwrap();
    let invoices = invoices(&deployment, 200).await;
    // It must have registered what it watches.
    until("the keys are followed", async || {
        let held: i64 =
            sqlx::query_scalar("select count(*) from watched_keys where holder is not null")
                .fetch_one(deployment.pool())
                .await
                .unwrap();
        (held == 4).then_some(())
    })
    .await;
    deployment.kill_watcher(0).await;
    let dead_since = std::time::Instant::now();
    pay_all(&deployment, &invoices).await;
    // The whole minute: slots go by, the subscription's backlog is gone.
    tokio::time::sleep_until((dead_since + std::time::Duration::from_mins(1)).into()).await;
    let paid: i64 = sqlx::query_scalar("select count(*) from invoices where status = 'paid'")
        .fetch_one(deployment.pool())
        .await
        .unwrap();
    assert_eq!(paid, 0);

    deployment.start_watcher().await.unwrap();

    all_paid_once(&deployment, &invoices).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_51_ten_watchers_credit_once_and_the_dead_ones_keys_move() {
    let deployment = builder()
        .watchers(10)
        .env("QUITTANCE_WATCH_LEASE_MS", "2000")
        .env("QUITTANCE_DB_CONNECTIONS_MAX", "6")
        .start()
        .await
        .unwrap();
    let made = invoices(&deployment, 30).await;
    let (before, after) = made.split_at(15);
    pay_all(&deployment, before).await;
    for watcher in 0..9 {
        deployment.kill_watcher(watcher).await;
    }
    pay_all(&deployment, after).await;
    all_paid_once(&deployment, &made).await;
    for (console, asked) in &made {
        until_status(console, &asked.id, "paid").await;
    }
    deployment.finish().await.unwrap();
}
