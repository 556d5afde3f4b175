//! Broadcasting through nodes that misbehave.

use std::time::{Duration, Instant};

use fault_kit::{FakeTransaction, Fault, Reply, RpcFailure, RpcMethod, Sending};
use reqwest::Method;
use serde_json::json;
use solana_signature::Signature;
use stack::deployment::Builder;
use stack::{Answer, Deployment};

use crate::books::until_paid_once;
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, until};

/// The handler's limit of five seconds, and the way there and back. Without it, calls wait for ten.
const BOUND: Duration = Duration::from_millis(9_500);

/// Hands a signed transaction over, as a wallet does.
pub async fn submit(bill: &Bill, signed_base64: &str) -> Answer {
    let path = format!("/v1/billing/invoices/{}/inapp/submit", bill.id);
    let body = json!({"signed_b64": signed_base64});
    let started = Instant::now();
    let answer = bill.console.raw(Method::POST, &path, Some(&body));
    let answer = answer.await.unwrap();
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    answer
}

/// Hands a payment over that lands as soon as a node delivers it; it must be taken.
pub async fn submitted(net: &Net, bill: &Bill) -> Signature {
    let payment = net.payment(bill);
    let wire = payment.wire_base64();
    let signature = net.chain.prepare(payment);
    let answer = submit(bill, &wire).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let expected = json!({"signature": signature.to_string(), "submitted": true});
    assert_eq!(answer.body, expected);
    signature
}

/// Where the relay stands with a transaction, and how often it was sent.
pub async fn relayed(deployment: &Deployment, signature: &Signature) -> (String, i32) {
    sqlx::query_as("select state, sends from relay_transactions where signature = $1")
        .bind(signature.to_string())
        .fetch_one(deployment.pool())
        .await
        .unwrap()
}

/// Waits until the relay stands so.
pub async fn until_relayed(deployment: &Deployment, signature: &Signature, state: &str) {
    until(&format!("{signature} is {state}"), async || {
        let now = relayed(deployment, signature).await.0;
        (now == state).then_some(())
    })
    .await;
}

/// Waits until a node has been sent so many transactions.
pub async fn until_sent(net: &Net, sends: u64) {
    net.node()
        .wait_for_calls(RpcMethod::SendTransaction, sends, LIMIT)
        .await
        .unwrap();
}

/// Soon nobody waits for the word of a node that is of no use.
fn quick_to_leave_out(net: &Net) -> Builder {
    net.builder().env("QUITTANCE_SOLANA_NODE_ABSENT_MS", "2000")
}

async fn ends_well(deployment: &Deployment, bill: &Bill, signature: &Signature) {
    until_relayed(deployment, signature, "finalized").await;
    until_paid_once(deployment, &[bill]).await;
}

#[tokio::test]
async fn case_57_already_processed_is_no_failure() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    net.node().set_sending(Sending::Swallow);
    let known = RpcFailure::new(
        -32_002,
        "Transaction simulation failed: This transaction has already been processed",
    );
    let resend = Fault::on(RpcMethod::SendTransaction).after(1);
    net.node().fault(resend.reply(Reply::Error(known)));
    let signature = submitted(&net, &bill).await;
    until_sent(&net, 3).await;
    assert_eq!(relayed(&deployment, &signature).await.0, "sending");

    net.chain.reland(&signature, net.chain.slot()).unwrap();

    ends_well(&deployment, &bill, &signature).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_57_a_storm_of_throttling_delays_but_does_not_lose() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    net.node()
        .fault(Fault::on_any().reply(Reply::too_many_requests(119)));

    let signature = submitted(&net, &bill).await;

    until_sent(&net, 1).await;
    assert_eq!(net.node().sent().len(), 0);
    net.node().clear_faults();
    let back = Instant::now();
    ends_well(&deployment, &bill, &signature).await;
    assert!(back.elapsed() < 2 * BOUND, "{:?}", back.elapsed());
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_57_an_unhealthy_first_node_is_no_obstacle() {
    let net = Net::start(2).await;
    let deployment = net.launch(quick_to_leave_out(&net)).await;
    let bill = Bill::in_app(&deployment).await;
    let unhealthy = Fault::on_any().when(|call| call.socket.is_none());
    net.node()
        .fault(unhealthy.reply(Reply::Error(RpcFailure::unhealthy(None))));

    let signature = submitted(&net, &bill).await;

    ends_well(&deployment, &bill, &signature).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_57_a_node_that_answers_another_signature_is_not_believed() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    // It answers nonsense and does nothing, so the transaction has to be sent again.
    let other = Reply::Value(Signature::from([7; 64]).to_string().into());
    let fault = Fault::on(RpcMethod::SendTransaction).first(2);
    net.node().fault(fault.reply(other));

    let signature = submitted(&net, &bill).await;

    ends_well(&deployment, &bill, &signature).await;
    let sends = relayed(&deployment, &signature).await.1;
    assert!(sends >= 3, "{sends} sends");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_57_a_node_that_delivers_and_answers_another_signature_does_no_harm() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    let other = Signature::from([7; 64]);
    net.node().set_sending(Sending::AnswerOther(other));
    let signature = submitted(&net, &bill).await;
    ends_well(&deployment, &bill, &signature).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_57_a_transaction_that_is_swallowed_is_sent_until_it_lands() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    net.node().set_sending(Sending::Swallow);
    let signature = submitted(&net, &bill).await;
    until_sent(&net, 5).await;

    net.node().set_sending(Sending::Deliver);

    ends_well(&deployment, &bill, &signature).await;
    let wires = net.node().sent();
    assert!(wires.iter().all(|wire| *wire == wires[0]), "the same bytes");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_57_every_node_gets_it_and_one_that_hangs_delays_nobody() {
    let net = Net::start(3).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    // The first and the second take it, though only the second delivers; the third hangs.
    net.nodes[0].set_sending(Sending::Swallow);
    let hang = Fault::on(RpcMethod::SendTransaction).reply(Reply::Hang);
    net.nodes[2].fault(hang);
    let payment: FakeTransaction = net.payment(&bill);
    let wire = payment.wire.clone();
    let text = payment.wire_base64();
    let signature = net.chain.prepare(payment);

    let answer = submit(&bill, &text).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    ends_well(&deployment, &bill, &signature).await;
    assert_eq!(net.nodes[0].sent()[0], wire);
    assert_eq!(net.nodes[1].sent()[0], wire);
    assert!(net.nodes[2].count(RpcMethod::SendTransaction) >= 1);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_first_node_that_stands_still_does_not_keep_a_transaction_open() {
    let net = Net::start(2).await;
    let deployment = net.launch(quick_to_leave_out(&net)).await;
    let bill = Bill::in_app(&deployment).await;
    let payment = net.payment(&bill);
    let text = payment.wire_base64();
    let signature = net.chain.prepare(payment);
    net.node().set_stuck(true);
    net.chain.advance(5);

    let answer = submit(&bill, &text).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    ends_well(&deployment, &bill, &signature).await;
    deployment.finish().await.unwrap();
}
