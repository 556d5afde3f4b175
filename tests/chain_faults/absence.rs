//! Absence is not proof: one answer without a transaction, or one error, ends nothing.

use std::time::Duration;

use fault_kit::{FakeTransaction, Fault, Reply, RpcMethod, TransactionBuilder};
use solana_keypair::Keypair;
use solana_signature::Signature;
use stack::Deployment;

use crate::books::{listed, moved, until_paid_once};
use crate::scene::{Bill, NEVER_MS, Net};
use crate::waiting::{LIMIT, metric, until, until_received, until_stage};

const DEPOSIT_LAMPORTS: u64 = 500_000_000;

/// Somebody's money that names no invoice.
fn deposit(net: &Net) -> FakeTransaction {
    let payer = Keypair::new();
    TransactionBuilder::new(&payer, net.chain.blockhash())
        .sol_transfer(net.treasury(), DEPOSIT_LAMPORTS, &[])
        .build()
        .unwrap()
}

async fn until_listed(deployment: &Deployment, signature: &Signature, reason: &str) {
    let expected = (signature.to_string(), reason.to_owned());
    until(&format!("{signature} is listed as {reason}"), async || {
        listed(deployment).await.contains(&expected).then_some(())
    })
    .await;
}

async fn reversals(deployment: &Deployment, watcher: usize) -> f64 {
    metric(
        deployment.watcher(watcher),
        "quittance_chain_reversals_total",
    )
    .await
}

#[tokio::test]
async fn a_deposit_from_before_a_restart_is_not_dropped_for_one_empty_answer() {
    let empty = || vec![Reply::Null];
    let failing = || {
        vec![
            Reply::Http {
                status: 503,
                retry_after: None,
            },
            Reply::Null,
        ]
    };
    for replies in [empty(), failing()] {
        let net = Net::start(replies.len()).await;
        let mut deployment = net.launch(net.builder()).await;
        deployment.kill_watcher(0).await;
        let signature = net.chain.land(deposit(&net));
        // Long enough for it to be gone, if it were.
        net.chain.advance(400);
        for (node, reply) in net.nodes.iter().zip(replies) {
            for method in [RpcMethod::GetSignatureStatuses, RpcMethod::GetTransaction] {
                let once = Fault::on(method).mentioning(&signature).first(2);
                node.fault(once.reply(reply.clone()));
            }
        }

        deployment.start_watcher().await.unwrap();

        until_listed(&deployment, &signature, "untagged").await;
        assert!(reversals(&deployment, 1).await < 0.5);
        deployment.finish().await.unwrap();
    }
}

#[tokio::test]
async fn what_one_node_cannot_be_asked_about_is_not_taken_back() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let signature = net.chain.land(net.payment(&bill));
    net.chain.confirm(&signature).unwrap();
    until_received(&bill, bill.micro).await;
    net.nodes[0].hide(&signature);
    // The other one has it, and cannot say so.
    let broken = || Reply::Http {
        status: 503,
        retry_after: None,
    };
    for method in [RpcMethod::GetSignatureStatuses, RpcMethod::GetTransaction] {
        net.nodes[1].fault(Fault::on(method).reply(broken()));
    }
    net.chain.advance(400);

    let asked = net.nodes[1].count(RpcMethod::GetTransaction) + 10;
    net.nodes[1]
        .wait_for_calls(RpcMethod::GetTransaction, asked, LIMIT)
        .await
        .unwrap();

    until_received(&bill, bill.micro).await;
    assert_eq!(moved(&deployment).await, (0, 0));
    net.nodes[1].clear_faults();
    net.nodes[0].show(&signature);
    net.chain.unpin(&signature).unwrap();
    until_paid_once(&deployment, &[&bill]).await;
    assert!(reversals(&deployment, 0).await < 0.5);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn what_was_given_up_is_asked_for_again_and_comes_back_by_itself() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.without_polling()).await;
    let bill = Bill::new(&deployment).await;
    let signature = net.chain.land(net.payment(&bill));
    net.chain.confirm(&signature).unwrap();
    until_received(&bill, bill.micro).await;
    for node in &net.nodes {
        node.hide(&signature);
    }
    net.chain.advance(400);
    until_stage(&deployment, &signature, "dropped").await;
    until_received(&bill, 0).await;

    for node in &net.nodes {
        node.show(&signature);
    }
    net.chain.unpin(&signature).unwrap();

    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_node_far_ahead_for_a_moment_hides_nothing_that_comes_after() {
    let net = Net::start(1).await;
    let deployment = net
        .builder()
        .env("SOLANA_WS_URL", "")
        .start()
        .await
        .unwrap();
    let bill = Bill::new(&deployment).await;
    net.node().boast(1_000_000);
    net.chain.land(net.payment(&bill));
    until("every cursor is ahead of the chain", async || {
        let ahead: bool = sqlx::query_scalar(
            "select bool_and(coalesce(cursor_slot, 0) > 100000) from watched_keys",
        )
        .fetch_one(deployment.pool())
        .await
        .unwrap();
        ahead.then_some(())
    })
    .await;
    net.node().be_honest();

    let signature = net.chain.land(deposit(&net));

    until_listed(&deployment, &signature, "untagged").await;
    let healed = metric(deployment.watcher(0), "quittance_watch_cursors_ahead_total").await;
    assert!(healed > 0.5, "an alarm was raised");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn of_two_nodes_one_that_is_far_ahead_moves_no_cursor() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    net.nodes[1].boast(1_000_000);
    let rounds = net.nodes[1].count(RpcMethod::GetSignaturesForAddress) + 20;
    net.nodes[1]
        .wait_for_calls(RpcMethod::GetSignaturesForAddress, rounds, LIMIT)
        .await
        .unwrap();
    let furthest: Option<i64> =
        sqlx::query_scalar("select max(greatest(cursor_slot, read_slot)) from watched_keys")
            .fetch_one(deployment.pool())
            .await
            .unwrap();
    let furthest = furthest.unwrap_or(0);
    assert!(furthest < 500_000, "{furthest}");
    net.nodes[1].be_honest();
    let signature = net.chain.land(deposit(&net));
    until_listed(&deployment, &signature, "untagged").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn one_failure_in_a_round_of_finality_delays_nobody_for_long() {
    let net = Net::start(1).await;
    let deployment = net
        .builder()
        .env("SOLANA_WS_URL", "")
        .start()
        .await
        .unwrap();
    let bills = Bill::several(&deployment, 3).await;
    let mut signatures = Vec::new();
    for bill in &bills {
        let signature = net.chain.land(net.payment(bill));
        net.chain.confirm(&signature).unwrap();
        signatures.push(signature);
        until_received(bill, bill.micro).await;
    }
    let broken = Reply::Http {
        status: 503,
        retry_after: None,
    };
    net.node().fault(
        Fault::on(RpcMethod::GetSignatureStatuses)
            .first(3)
            .reply(broken.clone()),
    );
    // And the first of them cannot be read for a while.
    net.node().fault(
        Fault::on(RpcMethod::GetTransaction)
            .mentioning(&signatures[0])
            .first(3)
            .reply(broken),
    );
    let held_until: time::OffsetDateTime =
        sqlx::query_scalar("select now() + interval '15 seconds'")
            .fetch_one(deployment.pool())
            .await
            .unwrap();

    for signature in &signatures {
        net.chain.finalize(signature).unwrap();
    }

    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    let late: i64 = sqlx::query_scalar("select count(*) from chain_credits where settled_at > $1")
        .bind(held_until)
        .fetch_one(deployment.pool())
        .await
        .unwrap();
    assert_eq!(
        late, 0,
        "whoever took them kept them until its hold was over"
    );
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn one_reference_that_cannot_be_looked_up_is_no_matter_of_the_others() {
    let net = Net::start(1).await;
    let builder = net
        .builder()
        .env("QUITTANCE_WATCH_POLL_INTERVAL_MS", NEVER_MS);
    let deployment = builder.env("SOLANA_WS_URL", "").start().await.unwrap();
    let bills = Bill::several(&deployment, 10).await;
    // Ended long enough for the next look-up to be an hour away.
    let broken = Reply::Http {
        status: 503,
        retry_after: None,
    };
    let first = Fault::on(RpcMethod::GetSignaturesForAddress).mentioning(&bills[0].references[0]);
    net.node().fault(first.first(2).reply(broken));
    for bill in &bills {
        net.chain.land(net.payment(bill));
    }
    sqlx::query("update reference_sweeps set next_at = now()")
        .execute(deployment.pool())
        .await
        .unwrap();

    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn what_is_confirmed_only_after_the_subscription_began_is_seen_by_a_second_look() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.without_polling()).await;
    let bill = Bill::new(&deployment).await;
    let reads = net.node().count(RpcMethod::GetSignaturesForAddress);
    let silent = fault_kit::NotificationFault::on(fault_kit::TopicKind::Logs);
    net.node()
        .notification_fault(silent.deliver(fault_kit::Delivery::Omit));
    let signature = net.chain.land(net.payment(&bill));
    net.chain.process(&signature).unwrap();
    net.node().drop_sockets();
    // The first look, right after the subscriptions are made, finds nothing.
    net.node()
        .wait_for_calls(RpcMethod::GetSignaturesForAddress, reads + 4, LIMIT)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    net.chain.unpin(&signature).unwrap();

    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}
