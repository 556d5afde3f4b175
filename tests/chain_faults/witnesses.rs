//! Nodes that check each other: what they do not show alike settles nothing, and settles by itself once they do.

use fault_kit::{FakeTransaction, Fault, Lie, Reply};
use serde_json::Value;
use solana_transaction_error::TransactionError;
use stack::Deployment;

use crate::books::{listed, moved, until_paid_once};
use crate::scene::{Bill, Net};
use crate::waiting::{metric, until, until_received, until_stage};

/// The rows of the operators' list for this reason.
async fn rows(deployment: &Deployment, reason: &str) -> Vec<Value> {
    let path = format!("/ops/v1/unattributed?reason={reason}");
    let answer = deployment.operator().raw(reqwest::Method::GET, &path, None);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["unattributed"].as_array().unwrap().clone()
}

fn failed(mut transaction: FakeTransaction) -> FakeTransaction {
    transaction.err = Some(TransactionError::AccountInUse);
    transaction
}

fn richer(mut transaction: FakeTransaction) -> FakeTransaction {
    for holding in &mut transaction.tokens {
        holding.after = holding.after.map(|units| units + 1);
    }
    transaction
}

#[tokio::test]
async fn a_contradiction_settles_nothing_is_listed_with_both_answers_and_ends_by_itself() {
    let lies: [fn(FakeTransaction) -> FakeTransaction; 2] = [failed, richer];
    for (lie, liar) in lies.into_iter().zip([1, 0]) {
        let net = Net::start(2).await;
        let deployment = net.launch(net.builder()).await;
        let bills = Bill::several(&deployment, 2).await;
        let payment = net.payment(&bills[0]);
        net.nodes[liar].lie(&payment.signature, Lie::effect(lie(payment.clone())));
        let signature = net.chain.land(payment);

        let disputed = until("the dispute is listed", async || {
            let rows = rows(&deployment, "disputed").await;
            (!rows.is_empty()).then_some(rows)
        })
        .await;

        assert_eq!(disputed.len(), 1);
        assert_eq!(disputed[0]["signature"], signature.to_string());
        let answers = disputed[0]["detail"]["answers"].as_array().unwrap();
        assert_eq!(answers.len(), 2);
        assert_ne!(answers[0]["said"], answers[1]["said"]);
        let name = "quittance_node_disagreements_total";
        assert!(metric(deployment.watcher(0), name).await > 0.5);
        // Others are paid meanwhile.
        net.chain.land(net.payment(&bills[1]));
        until_paid_once(&deployment, &[&bills[1]]).await;

        net.nodes[liar].be_honest();

        until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
        assert_eq!(listed(&deployment).await, []);
        deployment.finish().await.unwrap();
    }
}

#[tokio::test]
async fn one_of_three_that_lies_holds_up_what_two_say_alike() {
    let net = Net::start(3).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let payment = net.payment(&bill);
    net.nodes[2].lie(&payment.signature, Lie::effect(failed(payment.clone())));
    net.chain.land(payment);
    until("the dispute is listed", async || {
        (rows(&deployment, "disputed").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(moved(&deployment).await, (0, 0));

    net.nodes[2].be_honest();

    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_away_is_left_out_visibly_and_counts_again_when_it_is_back() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    let away = Fault::on_any().when(|call| call.socket.is_none());
    net.nodes[1].fault(away.reply(Reply::Disconnect));

    net.chain.land(net.payment(&bills[0]));

    until_paid_once(&deployment, &[&bills[0]]).await;
    let left_out = async || metric(deployment.watcher(0), "quittance_node_left_out").await;
    assert!(left_out().await > 0.5);
    net.nodes[1].clear_faults();
    net.chain.land(net.payment(&bills[1]));
    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    until("it is of use again", async || {
        (left_out().await < 0.5).then_some(())
    })
    .await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn one_node_that_fails_every_third_call_costs_little_time() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let mut took = Vec::new();
    for is_flaky in [false, true] {
        if is_flaky {
            let third = Fault::on_any().when(|call| call.socket.is_none() && call.number % 3 == 0);
            let broken = Reply::Http {
                status: 503,
                retry_after: None,
            };
            net.nodes[1].fault(third.reply(broken));
        }
        let bills = Bill::several(&deployment, 10).await;
        let signatures: Vec<_> = bills
            .iter()
            .map(|bill| net.chain.land(net.payment(bill)))
            .collect();
        for signature in &signatures {
            until_stage(&deployment, signature, "done").await;
        }
        let seconds: Vec<f64> = sqlx::query_scalar(
            "select extract(epoch from c.settled_at - p.seen_at)::float8 from chain_credits c
             join chain_payments p using (signature, account) where c.signature = any($1)",
        )
        .bind(
            signatures
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        )
        .fetch_all(deployment.pool())
        .await
        .unwrap();
        assert_eq!(seconds.len(), bills.len());
        took.push(seconds.iter().sum::<f64>() / 10.0);
    }
    println!(
        "seconds from seen to paid: {:.2} without failures, {:.2} with",
        took[0], took[1]
    );
    // What a hold that nobody ends would cost.
    assert!(took[1] < took[0] + 10.0);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn progress_needs_one_witness_and_settling_two() {
    let net = Net::start(2).await;
    let deployment = net
        .launch(
            net.builder()
                .env("QUITTANCE_SOLANA_NODE_ABSENT_MS", "3600000"),
        )
        .await;
    let bill = Bill::new(&deployment).await;
    let payment = net.payment(&bill);
    let away = Fault::on_any().when(|call| call.socket.is_none());
    net.nodes[1].fault(away.reply(Reply::Hang));

    let signature = net.chain.land(payment);

    until_received(&bill, bill.micro).await;
    until("it was held against nobody's word", async || {
        let attempts: i32 =
            sqlx::query_scalar("select attempts from chain_signatures where signature = $1")
                .bind(signature.to_string())
                .fetch_one(deployment.pool())
                .await
                .unwrap();
        (attempts >= 3).then_some(())
    })
    .await;
    assert_eq!(moved(&deployment).await, (0, 0));
    net.nodes[1].clear_faults();
    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}
