//! Nodes that are behind, and do not know where another one's history was read to.

use fault_kit::{FakeNode, RpcMethod, UnknownSignature};
use solana_signature::Signature;
use stack::Deployment;

use crate::books::{events, until_paid_once};
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, until};

/// The deposit accounts of three rails and the beacon.
const KEYS: u64 = 4;

/// What is read from where: keys and slots.
async fn cursors(deployment: &Deployment) -> Vec<(String, Option<i64>)> {
    sqlx::query_as("select key, cursor_slot from watched_keys order by key")
        .fetch_all(deployment.pool())
        .await
        .unwrap()
}

/// Waits until the histories of both keys that payments name are read up to this one.
async fn until_read(deployment: &Deployment, upto: &Signature) -> Vec<(String, Option<i64>)> {
    until("two cursors have moved", async || {
        let moved: i64 =
            sqlx::query_scalar("select count(*) from watched_keys where cursor_signature = $1")
                .bind(upto.to_string())
                .fetch_one(deployment.pool())
                .await
                .unwrap();
        (moved == 2).then_some(())
    })
    .await;
    cursors(deployment).await
}

/// Whether a node was asked for what is newer than a transaction.
fn was_asked_from(node: &FakeNode, signature: &Signature) -> bool {
    let calls = node.calls(RpcMethod::GetSignaturesForAddress);
    let mut froms = calls.iter().map(|call| &call.params[1]["until"]);
    froms.any(|from| *from == signature.to_string())
}

/// A second node that lacks what the cursors stand on, and says so in this way, changes nothing.
async fn changes_nothing(unknown: UnknownSignature) {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 4).await;
    let mut signatures = Vec::new();
    for bill in &bills[..3] {
        signatures.push(net.chain.land(net.payment(bill)));
        net.chain.advance(1);
    }
    until_paid_once(&deployment, &[&bills[0], &bills[1], &bills[2]]).await;
    net.chain.advance(200);
    let late = &net.nodes[1];
    late.set_unknown_signature(unknown);
    late.hide(&signatures[2]);
    let before = until_read(&deployment, &signatures[2]).await;

    let rounds = late.count(RpcMethod::GetSignaturesForAddress) + 3 * KEYS;
    late.wait_for_calls(RpcMethod::GetSignaturesForAddress, rounds, LIMIT)
        .await
        .unwrap();
    assert!(was_asked_from(late, &signatures[2]));
    net.chain.land(net.payment(&bills[3]));

    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    for bill in &bills {
        assert_eq!(events(&deployment, bill, "invoice_progress").await, 1);
    }
    let after = cursors(&deployment).await;
    for ((key, was), (_, is)) in before.iter().zip(&after) {
        assert!(is >= was, "{key} went from {was:?} to {is:?}");
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_48_a_node_that_refuses_an_unknown_cursor_changes_nothing() {
    changes_nothing(UnknownSignature::Refuse).await;
}

#[tokio::test]
async fn case_48_a_node_that_gives_all_rows_for_an_unknown_cursor_changes_nothing() {
    changes_nothing(UnknownSignature::AllRows).await;
}

#[tokio::test]
async fn case_48_a_node_that_gives_the_newest_rows_for_an_unknown_cursor_changes_nothing() {
    changes_nothing(UnknownSignature::Newest).await;
}

#[tokio::test]
async fn case_48_a_node_that_is_behind_the_cursor_moves_nothing_back() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    let late = &net.nodes[1];
    late.set_unknown_signature(UnknownSignature::AllRows);
    late.set_stuck(true);
    let signature = net.chain.land(net.payment(&bills[0]));
    until_paid_once(&deployment, &[&bills[0]]).await;
    net.chain.advance(200);
    let before = until_read(&deployment, &signature).await;
    // It answers, but knows nothing of what the cursors stand on.
    let rounds = late.count(RpcMethod::GetSignaturesForAddress) + 2 * KEYS;
    late.wait_for_calls(RpcMethod::GetSignaturesForAddress, rounds, LIMIT)
        .await
        .unwrap();

    late.set_stuck(false);
    net.chain.land(net.payment(&bills[1]));

    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    let after = cursors(&deployment).await;
    for ((key, was), (_, is)) in before.iter().zip(&after) {
        assert!(is >= was, "{key} went from {was:?} to {is:?}");
    }
    deployment.finish().await.unwrap();
}
