//! Building transactions to sign: what the nodes are asked does not grow with those who ask.

use std::collections::HashMap;
use std::time::Instant;

use fault_kit::{FakeAccount, Fault, Reply, RpcMethod};
use futures::StreamExt as _;
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde_json::json;
use solana_pubkey::Pubkey;
use stack::Answer;

use crate::scene::{Bill, Net};
use crate::waiting::until;

const BUILDS: usize = 50;
/// As many as an api has connections for, roughly.
const AT_ONCE: usize = 12;
/// A blockhash of these chains, whose slots take 25 ms, is kept for a third of a second; the machine may be busy.
const KEPT_MS: u128 = 200;

async fn build(bill: &Bill) -> Answer {
    let path = format!("/v1/billing/invoices/{}/inapp/build", bill.id);
    let body = json!({"payer": Pubkey::new_unique().to_string()});
    let built = bill.console.raw(Method::POST, &path, Some(&body));
    built.await.unwrap()
}

async fn builds(bill: &Bill) -> Vec<Answer> {
    let all = futures::stream::iter((0..BUILDS).map(|_| build(bill)));
    all.buffer_unordered(AT_ONCE).collect().await
}

/// How often the nodes were asked for an account by the api: watchers and workers look at final balances.
fn looks(net: &Net, account: &Pubkey) -> usize {
    let calls = net.node().calls(RpcMethod::GetAccountInfo);
    let account = account.to_string();
    calls
        .iter()
        .filter(|call| call.params[0] == account.as_str())
        .filter(|call| call.params[1]["commitment"] == "confirmed")
        .count()
}

#[tokio::test]
async fn fifty_builds_are_a_few_calls() {
    let net = Net::start(1).await;
    let builder = net
        .builder()
        .env("QUITTANCE_INAPP_MISSING_ACCOUNT_CACHE_MS", "3600000");
    let deployment = net.launch(builder).await;
    let bill = Bill::in_app(&deployment).await;
    let account = net.token_account();
    let calls = net.node().count(RpcMethod::GetLatestBlockhash);
    let begun = Instant::now();

    let answers = builds(&bill).await;

    let most = 1 + begun.elapsed().as_millis() / KEPT_MS;
    let mut promises = HashMap::new();
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let until = answer.body["blockhash_valid_until"].clone();
        let blockhash = answer.body["blockhash"].to_string();
        let first_told = promises.entry(blockhash).or_insert(until.clone());
        assert_eq!(
            *first_told, until,
            "it does not live longer for being asked later"
        );
    }
    let asked = net.node().count(RpcMethod::GetLatestBlockhash) - calls;
    assert!(u128::from(asked) <= most, "{asked} calls, not {most}");
    assert_eq!(looks(&net, &account), 1);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn an_account_that_exists_is_believed_and_one_that_is_missing_asked_for_again() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    let account = net.token_account();
    let length = async || {
        let built = build(&bill).await;
        assert_eq!(built.status, 200, "{}", built.text);
        built.body["transaction_b64"].as_str().unwrap().len()
    };
    let making = length().await;
    net.chain
        .set_account(account, FakeAccount::wallet(2_039_280));
    until("the account is there", async || {
        (length().await < making).then_some(())
    })
    .await;
    let asked = looks(&net, &account);
    for _ in 0..20 {
        assert!(length().await < making);
    }
    assert_eq!(looks(&net, &account), asked);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_node_that_fails_is_asked_again_soon_and_not_by_everybody() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    let fault = Fault::on(RpcMethod::GetLatestBlockhash);
    net.node()
        .fault(fault.reply(Reply::error(-32_603, "internal error")));
    let calls = net.node().count(RpcMethod::GetLatestBlockhash);
    let begun = Instant::now();

    let answers = builds(&bill).await;

    let most = 1 + begun.elapsed().as_millis() / KEPT_MS;
    for answer in answers {
        assert_eq!(answer.status, 502, "{}", answer.text);
        assert_eq!(answer.error(), "build_failed: the node answered -32603");
    }
    let asked = net.node().count(RpcMethod::GetLatestBlockhash) - calls;
    assert!(u128::from(asked) <= most, "{asked} calls, not {most}");
    net.node().clear_faults();
    until("it is asked again", async || {
        (build(&bill).await.status == 200).then_some(())
    })
    .await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn builds_of_one_user_are_bounded() {
    let net = Net::start(1).await;
    let builder = net
        .builder()
        .env("QUITTANCE_BUILDS_PER_USER_PER_MINUTE", "3");
    let deployment = net.launch(builder).await;
    let bill = Bill::in_app(&deployment).await;
    for _ in 0..3 {
        assert_eq!(build(&bill).await.status, 200);
    }
    let refused = build(&bill).await;
    assert_eq!((refused.status, refused.error()), (429, "rate_limited"));
    let wait: u64 = refused.headers[RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&wait), "one more every 20 s: {wait}");
    let other = Bill::in_app(&deployment).await;
    assert_eq!(build(&other).await.status, 200, "another user");
    deployment.finish().await.unwrap();
}
