//! Transactions that nodes cannot show, or that cannot be read.

use fault_kit::transaction::Version;
use fault_kit::{Delivery, Fault, NotificationFault, Reply, RpcFailure, RpcMethod, TopicKind};
use serde_json::json;
use solana_transaction_error::TransactionError;

use crate::books::{assert_untouched, balance, listed, moved, until_paid_once};
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, until, until_received, until_stage, until_status};

#[tokio::test]
async fn case_33_a_failed_transaction_that_is_announced_as_good_credits_nothing() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.without_polling()).await;
    let bill = Bill::new(&deployment).await;
    let lie = NotificationFault::on(TopicKind::Logs).deliver(Delivery::WithoutError);
    net.node().notification_fault(lie);
    let failing = net
        .paying(&bill, bill.units())
        .failing(TransactionError::AccountInUse);

    let failed = net.chain.land(failing.build().unwrap());

    until_stage(&deployment, &failed, "done").await;
    assert_untouched(&deployment, &bill).await;
    net.chain.land(net.payment(&bill));
    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(listed(&deployment).await, []);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_36_a_version_that_no_node_explains_is_listed_and_others_settle() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    let paying = net.paying(&bills[0], bills[0].units());
    // Nodes refuse it with -32015: its number is beyond what is asked for.
    let unknown = paying.version(Version::Other(2)).build().unwrap();

    let signature = net.chain.land(unknown);

    let expected = [(signature.to_string(), "unsupported_version".to_owned())];
    until("it is listed", async || {
        (listed(&deployment).await == expected).then_some(())
    })
    .await;
    net.chain.land(net.payment(&bills[1]));
    until_paid_once(&deployment, &[&bills[1]]).await;
    assert_untouched(&deployment, &bills[0]).await;
    assert_eq!(listed(&deployment).await, expected, "once");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_36_what_one_node_is_too_old_for_another_one_shows() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let refusal = Reply::Error(RpcFailure::unsupported_version(1));
    net.node()
        .fault(Fault::on(RpcMethod::GetTransaction).reply(refusal));
    let paying = net.paying(&bill, bill.units()).version(Version::V1);

    net.chain.land(paying.build().unwrap());

    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(listed(&deployment).await, []);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_41_bytes_that_nobody_understands_are_listed_and_others_settle() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 3).await;
    let mut rubbish = net.payment(&bills[0]);
    rubbish.wire = vec![1, 2, 3];
    // The bytes of a coming version, under a number that is known.
    let paying = net.paying(&bills[1], bills[1].units());
    let mut coming = paying.version(Version::Other(3)).build().unwrap();
    coming.version = Version::V0;

    let signatures = [net.chain.land(rubbish), net.chain.land(coming)];

    let mut expected = signatures.map(|one| (one.to_string(), "unreadable".to_owned()));
    expected.sort();
    until("both are listed", async || {
        let mut now = listed(&deployment).await;
        now.sort();
        (now == expected).then_some(())
    })
    .await;
    net.chain.land(net.payment(&bills[2]));
    until_paid_once(&deployment, &[&bills[2]]).await;
    for bill in &bills[..2] {
        assert_untouched(&deployment, bill).await;
    }
    assert_eq!(listed(&deployment).await.len(), 2, "once each");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_for_a_moment_loses_no_payment() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    let [first, second] = [net.payment(&bills[0]), net.payment(&bills[1])];
    let nonsense = || Reply::Value(json!({"slot": "soon"}));
    let on = |signature| Fault::on(RpcMethod::GetTransaction).mentioning(signature);
    // The one when it is seen first, the other when it is final.
    let at_first = on(&first.signature).first(2).reply(nonsense());
    net.node().fault(at_first);
    let later = on(&second.signature).after(1).first(1).reply(nonsense());
    net.node().fault(later);

    net.chain.land(first);
    net.chain.land(second);

    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    until("nothing is listed any more", async || {
        listed(&deployment).await.is_empty().then_some(())
    })
    .await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_node_that_answers_another_transaction_credits_nothing_twice() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    net.chain.land(net.payment(&bill));
    until_paid_once(&deployment, &[&bill]).await;
    let calls = net.node().calls(RpcMethod::GetTransaction);
    let asked = calls.last().unwrap().params[0].clone();
    // Asked for a new signature, it gives the body of the old one.
    let body = answered(&net, &asked).await;
    let dust = net.part(&bill, 1);
    let mixed_up = Fault::on(RpcMethod::GetTransaction).mentioning(&dust.signature);
    net.node().fault(mixed_up.reply(Reply::Value(body)));

    let signature = net.chain.land(dust);

    let asked = net.node().count(RpcMethod::GetTransaction) + 3;
    net.node()
        .wait_for_calls(RpcMethod::GetTransaction, asked, LIMIT)
        .await
        .unwrap();
    until_paid_once(&deployment, &[&bill]).await;
    net.node().clear_faults();
    // What it really was: a micro-dollar too much.
    until_stage(&deployment, &signature, "done").await;
    assert_eq!(moved(&deployment).await, (2, bill.micro + 1));
    assert_eq!(balance(&bill).await, bill.micro + 1);
    deployment.finish().await.unwrap();
}

/// What a node says about a transaction.
async fn answered(net: &Net, signature: &serde_json::Value) -> serde_json::Value {
    let options = json!({"encoding": "base64", "maxSupportedTransactionVersion": 1});
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature, options],
    });
    let request = reqwest::Client::new().post(net.node().rpc_url());
    let request = request
        .header("content-type", "application/json")
        .body(body.to_string());
    let text = request.send().await.unwrap().text().await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(answer["result"].is_object(), "{text}");
    answer["result"].clone()
}

#[tokio::test]
async fn case_47_a_transaction_that_nodes_show_late_settles() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let payment = net.payment(&bill);
    let not_yet = Fault::on(RpcMethod::GetTransaction).mentioning(&payment.signature);
    net.node().fault(not_yet.first(5).reply(Reply::Null));

    net.chain.land(payment);

    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(listed(&deployment).await, []);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_47_effects_that_nodes_know_late_are_waited_for() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let mut payment = net.payment(&bill);
    let whole = payment.clone();
    payment.without_meta = true;
    let signature = net.chain.land(payment);
    let node = net.node();
    node.wait_for_calls(RpcMethod::GetTransaction, 2, LIMIT)
        .await
        .unwrap();
    assert_untouched(&deployment, &bill).await;

    net.chain
        .land_in(whole, net.chain.slot_of(&signature).unwrap());

    until_received(&bill, bill.micro).await;
    until_status(&bill, "paid").await;
    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(listed(&deployment).await, []);
    deployment.finish().await.unwrap();
}
