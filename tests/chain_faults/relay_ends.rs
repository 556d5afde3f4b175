//! Broadcast transactions that do not land, do not stay, or fail.

use fault_kit::{Commitment, RpcMethod, Sending};
use serde_json::json;
use solana_transaction_error::TransactionError;

use crate::books::{assert_untouched, events, moved, until_paid_once};
use crate::relay::{relayed, submit, submitted, until_relayed, until_sent};
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, until, until_received};

/// Waits until the first node was asked so often again where transactions stand.
async fn rounds(net: &Net, more: u64) {
    let calls = net.node().count(RpcMethod::GetSignatureStatuses) + more;
    net.node()
        .wait_for_calls(RpcMethod::GetSignatureStatuses, calls, LIMIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn case_57_what_never_lands_is_given_up_only_when_it_cannot_land_any_more() {
    let mut net = Net::start(3).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    // One that stands still for ever is not waited for.
    net.nodes[2].set_stuck(true);
    for node in &net.nodes {
        node.set_sending(Sending::Swallow);
    }
    let signature = submitted(&net, &bill).await;
    until_sent(&net, 2).await;
    net.stand_still();
    // Its time is over, but not finally: a block that has it might still become final.
    net.chain.hold_at(
        Commitment::Finalized,
        net.chain.slot_at(Commitment::Finalized),
    );
    net.chain.advance(200);
    rounds(&net, 5).await;
    assert_eq!(relayed(&deployment, &signature).await.0, "sending");
    let sends = net.node().count(RpcMethod::SendTransaction);
    rounds(&net, 5).await;
    assert_eq!(
        net.node().count(RpcMethod::SendTransaction),
        sends,
        "too late to send"
    );
    // One node is final that far, the other one may still find it.
    net.nodes[1].set_lag(100);
    net.chain.set_behind(Commitment::Finalized, 31);
    rounds(&net, 5).await;
    assert_eq!(relayed(&deployment, &signature).await.0, "sending");

    net.nodes[1].set_lag(0);

    until_relayed(&deployment, &signature, "expired").await;
    assert_untouched(&deployment, &bill).await;
    for node in &net.nodes {
        node.set_sending(Sending::Deliver);
    }
    let second = submitted(&net, &bill).await;
    net.chain.advance(40);
    until_relayed(&deployment, &second, "finalized").await;
    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(relayed(&deployment, &signature).await.0, "expired");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_60_a_confirmed_transaction_that_vanishes_is_sent_again_while_it_can_land() {
    let mut net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    net.node().set_sending(Sending::Swallow);
    let signature = submitted(&net, &bill).await;
    net.chain.reland(&signature, net.chain.slot()).unwrap();
    net.chain.confirm(&signature).unwrap();
    until_relayed(&deployment, &signature, "confirmed").await;
    until_received(&bill, bill.micro).await;
    let first_slot = net.chain.slot_of(&signature).unwrap();
    let sends = net.node().count(RpcMethod::SendTransaction);

    // The time in which it can land does not pass meanwhile.
    net.stand_still();
    net.chain.fork_out(&signature).unwrap();
    until_sent(&net, sends + 2).await;
    assert_eq!(relayed(&deployment, &signature).await.0, "sending");
    net.chain.advance(1);
    net.node().set_sending(Sending::Deliver);
    until("it lands again", async || {
        let slot = net.chain.slot_of(&signature)?;
        (slot > first_slot).then_some(())
    })
    .await;
    net.chain.advance(40);

    until_relayed(&deployment, &signature, "finalized").await;
    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(events(&deployment, &bill, "invoice_progress").await, 1);
    assert!(net.chain.slot_of(&signature).unwrap() > first_slot);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_60_a_confirmed_transaction_that_vanishes_too_late_is_given_up() {
    let net = Net::start(1).await;
    let builder = net.builder().env("QUITTANCE_WATCH_GONE_AFTER_MS", "500");
    let deployment = net.launch(builder).await;
    let bill = Bill::in_app(&deployment).await;
    let finalized = net.chain.slot_at(Commitment::Finalized);
    net.chain.hold_at(Commitment::Finalized, finalized);
    let signature = submitted(&net, &bill).await;
    net.chain.confirm(&signature).unwrap();
    until_relayed(&deployment, &signature, "confirmed").await;
    until_received(&bill, bill.micro).await;
    net.node().set_sending(Sending::Swallow);

    net.chain.fork_out(&signature).unwrap();
    net.chain.advance(200);
    net.chain.set_behind(Commitment::Finalized, 31);

    until_relayed(&deployment, &signature, "expired").await;
    until_received(&bill, 0).await;
    assert_eq!(moved(&deployment).await, (0, 0));
    net.node().set_sending(Sending::Deliver);
    let second = submitted(&net, &bill).await;
    until_relayed(&deployment, &second, "finalized").await;
    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_60_what_lands_and_fails_is_failed_and_the_invoice_stays_open() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    // The payer's money is gone by the time it lands.
    let failing = net.paying(&bill, bill.units());
    let failing = failing.failing(TransactionError::InsufficientFundsForFee);
    let failing = failing.build().unwrap();
    let text = failing.wire_base64();
    let signature = net.chain.prepare(failing);

    let answer = submit(&bill, &text).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    until_relayed(&deployment, &signature, "failed").await;
    assert_untouched(&deployment, &bill).await;
    let again = submit(&bill, &text).await;
    let expected = json!({"error": "submit_failed", "reason": "insufficient_sol"});
    assert_eq!((again.status, again.body), (502, expected));
    let second = submitted(&net, &bill).await;
    until("the second one is sent", async || {
        (relayed(&deployment, &second).await.1 >= 1).then_some(())
    })
    .await;
    until_relayed(&deployment, &second, "finalized").await;
    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}
