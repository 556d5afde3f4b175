//! Nodes that turn callers away.

use std::time::{Duration, Instant};

use fault_kit::{Fault, Reply, RpcFailure, RpcMethod};
use reqwest::Method;
use serde_json::json;
use solana_pubkey::Pubkey;

use crate::books::until_paid_once;
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, until_status};

#[tokio::test]
async fn a_node_that_throttles_everything_is_waited_for_without_hanging() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let (paid, built) = (
        Bill::new(&deployment).await,
        Bill::in_app(&deployment).await,
    );
    net.node()
        .fault(Fault::on_any().reply(Reply::too_many_requests(119)));
    net.node().drop_sockets();
    net.chain.land(net.payment(&paid));
    let asked = net.node().count(RpcMethod::GetSlot) + 3;
    net.node()
        .wait_for_calls(RpcMethod::GetSlot, asked, LIMIT)
        .await
        .unwrap();
    // Whoever calls us gets an answer in time, though no good one.
    let path = format!("/v1/billing/invoices/{}/inapp/build", built.id);
    let body = json!({"payer": Pubkey::new_unique().to_string()});
    let started = Instant::now();
    let answer = built.console.raw(Method::POST, &path, Some(&body));
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert!(started.elapsed() < Duration::from_secs(12));

    net.node().clear_faults();

    // Long before the two minutes that were asked for.
    until_status(&paid, "paid").await;
    until_paid_once(&deployment, &[&paid]).await;
    net.until_subscribed().await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_node_that_calls_itself_unhealthy_is_replaced_by_another_one() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    let unhealthy = Fault::on_any().when(|call| call.socket.is_none());
    let unhealthy = unhealthy.reply(Reply::Error(RpcFailure::unhealthy(Some(300))));
    net.node().fault(unhealthy);

    net.chain.land(net.payment(&bills[0]));

    until_paid_once(&deployment, &[&bills[0]]).await;
    assert!(net.nodes[1].count(RpcMethod::GetTransaction) >= 2);
    net.node().clear_faults();
    net.chain.land(net.payment(&bills[1]));
    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_limit_that_is_told_in_words_of_a_providers_own_leads_to_another_node() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let limit = Fault::on_any().when(|call| call.socket.is_none());
    let limit = limit.reply(Reply::error(-32_429, "daily request limit reached"));
    net.node().fault(limit);

    net.chain.land(net.payment(&bill));

    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}
