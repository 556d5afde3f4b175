//! Broadcast transactions whose end one node alone would tell: it takes the agreement of several, and two looks.

use fault_kit::{FakeNode, Fault, Reply, RpcFailure, RpcMethod, Sending};
use serde_json::json;
use solana_signature::Signature;
use stack::Deployment;

use crate::relay::{relayed, submitted, until_relayed, until_sent};
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, until};

/// Far ahead of any chain that a test makes.
const FAR: u64 = 1_000_000;

/// A transaction under way on nodes that swallow what they are sent, in a time that stands still from here on.
async fn swallowed(net: &mut Net, deployment: &Deployment) -> Signature {
    net.stand_still();
    for node in &net.nodes {
        node.set_sending(Sending::Swallow);
    }
    let bill = Bill::in_app(deployment).await;
    let signature = submitted(net, &bill).await;
    until_sent(net, 2).await;
    signature
}

fn claims_to_be_far_ahead(node: &FakeNode) {
    node.fault(Fault::on(RpcMethod::GetBlockHeight).reply(Reply::Value(json!(FAR))));
}

/// Waits until this node was asked so often again how high the chain is: that many rounds.
async fn rounds(node: &FakeNode, more: u64) {
    let calls = node.count(RpcMethod::GetBlockHeight) + more;
    let asked = node.wait_for_calls(RpcMethod::GetBlockHeight, calls, LIMIT);
    asked.await.unwrap();
}

async fn is_sending(deployment: &Deployment, signature: &Signature, what: &str) {
    assert_eq!(relayed(deployment, signature).await.0, "sending", "{what}");
}

#[tokio::test]
async fn a_node_that_is_far_ahead_expires_nothing() {
    for nodes in [2, 3] {
        let mut net = Net::start(nodes).await;
        let deployment = net.launch(net.builder()).await;
        let signature = swallowed(&mut net, &deployment).await;
        claims_to_be_far_ahead(&net.nodes[1]);
        let sends = net.node().count(RpcMethod::SendTransaction);

        rounds(net.node(), 16).await;

        is_sending(&deployment, &signature, "it can still land").await;
        let sent = net.node().count(RpcMethod::SendTransaction);
        assert!(sent > sends + 3, "and is sent: {sent} after {sends}");
        net.nodes[1].clear_faults();
        net.chain.advance(250);
        until_relayed(&deployment, &signature, "expired").await;
        deployment.finish().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_was_far_ahead_at_first_keeps_nothing_open() {
    for nodes in [2, 3] {
        let mut net = Net::start(nodes).await;
        let deployment = net.launch(net.builder()).await;
        claims_to_be_far_ahead(&net.nodes[1]);
        let signature = swallowed(&mut net, &deployment).await;
        rounds(net.node(), 3).await;
        net.nodes[1].clear_faults();
        rounds(net.node(), 3).await;
        net.chain.advance(250);
        until_relayed(&deployment, &signature, "expired").await;
        deployment.finish().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_was_behind_at_first_lets_nothing_expire_too_early() {
    let mut net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    net.chain.advance(400);
    net.nodes[1].set_lag(300);
    let signature = swallowed(&mut net, &deployment).await;
    rounds(net.node(), 3).await;
    // It is where the others are, and both are past what it could have told.
    net.nodes[1].set_lag(0);
    net.chain.advance(60);

    rounds(net.node(), 6).await;

    is_sending(&deployment, &signature, "it can still land").await;
    net.chain.advance(200);
    until_relayed(&deployment, &signature, "expired").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn an_error_is_no_answer() {
    let faults = [
        (
            RpcMethod::GetSignatureStatuses,
            Reply::error(-32_603, "internal error"),
        ),
        (
            RpcMethod::GetTransaction,
            Reply::Error(RpcFailure::unhealthy(None)),
        ),
        (RpcMethod::GetBlockHeight, Reply::Disconnect),
    ];
    for (method, reply) in faults {
        let mut net = Net::start(2).await;
        let deployment = net.launch(net.builder()).await;
        let signature = swallowed(&mut net, &deployment).await;
        net.nodes[1].fault(Fault::on(method).reply(reply));
        net.chain.advance(250);

        rounds(net.node(), 8).await;

        is_sending(&deployment, &signature, method.name()).await;
        net.nodes[1].clear_faults();
        until_relayed(&deployment, &signature, "expired").await;
        deployment.finish().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_stands_still_is_left_out_after_a_while() {
    let mut net = Net::start(2).await;
    let builder = net.builder().env("QUITTANCE_SOLANA_NODE_ABSENT_MS", "3000");
    let deployment = net.launch(builder).await;
    let signature = swallowed(&mut net, &deployment).await;
    net.nodes[1].set_stuck(true);
    net.chain.advance(250);
    net.go_on();
    // At first nobody can tell which of them is right.
    rounds(net.node(), 5).await;
    is_sending(&deployment, &signature, "the other node may be").await;
    until_relayed(&deployment, &signature, "expired").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn what_the_nodes_forget_for_one_look_is_not_given_up() {
    let mut net = Net::start(2).await;
    let builder = net
        .builder()
        .env("QUITTANCE_RELAY_RESEND_INTERVAL_MS", "1500");
    let deployment = net.launch(builder).await;
    let signature = swallowed(&mut net, &deployment).await;
    until("its last height is known", async || {
        let known: Option<i64> =
            sqlx::query_scalar("select last_valid_height from relay_transactions")
                .fetch_one(deployment.pool())
                .await
                .unwrap();
        known
    })
    .await;
    // It lands in its last moment, and the nodes forget it as soon as it is final.
    for node in &net.nodes {
        node.hide(&signature);
    }
    net.chain.reland(&signature, net.chain.slot()).unwrap();
    net.chain.advance(250);
    until("a look finds nothing", async || {
        let absences: i16 = sqlx::query_scalar("select absences from relay_transactions")
            .fetch_one(deployment.pool())
            .await
            .unwrap();
        (absences == 1).then_some(())
    })
    .await;

    for node in &net.nodes {
        node.show(&signature);
    }

    until_relayed(&deployment, &signature, "finalized").await;
    deployment.finish().await.unwrap();
}
