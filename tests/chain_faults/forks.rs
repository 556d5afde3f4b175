//! Blocks that the chain leaves behind.

use fault_kit::FakeTransaction;
use serde_json::json;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;
use stack::Deployment;

use crate::books::{
    assert_untouched, balance, credits, events, moved, until_paid_once, until_published,
};
use crate::scene::{Bill, Net};
use crate::waiting::{next_event, until, until_received, until_stage, until_status};

/// Lands a payment and keeps it confirmed until its progress shows.
async fn confirmed(net: &Net, bill: &Bill, payment: FakeTransaction) -> Signature {
    let signature = net.chain.land(payment);
    net.chain.confirm(&signature).unwrap();
    until_received(bill, bill.micro).await;
    signature
}

async fn until_slot(net: &Net, slot: u64) {
    until(&format!("slot {slot}"), async || {
        (net.chain.slot() >= slot).then_some(())
    })
    .await;
}

async fn slot_of(deployment: &Deployment, signature: &Signature) -> i64 {
    sqlx::query_scalar("select slot from chain_payments where signature = $1")
        .bind(signature.to_string())
        .fetch_one(deployment.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn case_42_what_is_never_confirmed_is_nothing() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::in_app(&deployment).await;
    let others = Bill::several(&deployment, 2).await;
    let signature = net.chain.land(net.payment(&bill));
    net.chain.process(&signature).unwrap();
    // Somebody even points to it.
    let path = format!("/v1/billing/invoices/{}/inapp/submit", bill.id);
    let body = json!({"signature": signature.to_string()});
    let answer = bill.console.raw(reqwest::Method::POST, &path, Some(&body));
    assert_eq!(answer.await.unwrap().status, 200);

    net.chain.land(net.payment(&others[0]));
    until_paid_once(&deployment, &[&others[0]]).await;

    assert_untouched(&deployment, &bill).await;
    net.chain.fork_out(&signature).unwrap();
    net.chain.advance(200);
    net.chain.land(net.payment(&others[1]));
    until_paid_once(&deployment, &[&others[0], &others[1]]).await;
    assert_untouched(&deployment, &bill).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_43_a_payment_that_lands_again_in_another_slot_is_one_payment() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let signature = confirmed(&net, &bill, net.payment(&bill)).await;
    let first_slot = net.chain.slot_of(&signature).unwrap();
    net.chain.fork_out(&signature).unwrap();
    until_slot(&net, first_slot + 40).await;
    let slot = net.chain.slot();

    net.chain.reland(&signature, slot).unwrap();

    until_paid_once(&deployment, &[&bill]).await;
    assert_eq!(events(&deployment, &bill, "invoice_progress").await, 1);
    let kept = slot_of(&deployment, &signature).await;
    assert_eq!(u64::try_from(kept).unwrap(), slot);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_43_a_payment_that_lands_again_with_another_effect_counts_as_it_ended() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let payment = net.payment(&bill);
    // The same bytes, but what they do depends on what they find.
    let mut other = payment.clone();
    let treasury = other.tokens.iter_mut().find(|row| row.before == Some(0));
    treasury.unwrap().after = Some(1_000_000);
    let signature = confirmed(&net, &bill, payment).await;
    net.chain.fork_out(&signature).unwrap();

    net.chain.land(other);

    until_received(&bill, 1_000_000).await;
    until_stage(&deployment, &signature, "done").await;
    assert_eq!(credits(&deployment, &bill).await, [1_000_000]);
    assert_eq!(
        (
            bill.now().await["status"].as_str(),
            moved(&deployment).await
        ),
        (Some("pending"), (0, 0))
    );
    net.chain.land(net.part(&bill, 2_000_000));
    until_status(&bill, "paid").await;
    assert_eq!(credits(&deployment, &bill).await, [1_000_000, 2_000_000]);
    assert_eq!(balance(&bill).await, bill.micro);
    assert_eq!(moved(&deployment).await, (1, bill.micro));
    assert_eq!(events(&deployment, &bill, "invoice_paid").await, 1);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_43_a_payment_that_lands_again_and_fails_is_taken_back() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let payment = net.payment(&bill);
    let mut failed = payment.clone();
    failed.err = Some(TransactionError::AccountInUse);
    for row in &mut failed.tokens {
        row.after = row.before;
    }
    let signature = confirmed(&net, &bill, payment).await;
    net.chain.fork_out(&signature).unwrap();

    net.chain.land(failed);

    until_received(&bill, 0).await;
    until_stage(&deployment, &signature, "done").await;
    assert_eq!(moved(&deployment).await, (0, 0));
    net.chain.land(net.payment(&bill));
    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_44_a_payment_that_is_gone_for_good_is_taken_back_and_the_invoice_stays_payable() {
    let net = Net::start(3).await;
    let deployment = net.launch(net.builder()).await;
    // One that stands still for ever, and never saw it, has no say.
    net.nodes[2].set_stuck(true);
    let bill = Bill::new(&deployment).await;
    let mut stream = bill.console.invoice_stream(&bill.id).await.unwrap();
    assert_eq!(next_event(&mut stream).await.0, "snapshot");
    let signature = confirmed(&net, &bill, net.payment(&bill)).await;
    let (name, data) = next_event(&mut stream).await;
    assert_eq!(
        (name.as_str(), &data["payments_received_micro"]),
        ("invoice_progress", &bill.micro.into())
    );

    net.chain.fork_out(&signature).unwrap();
    net.chain.advance(200);

    let (name, data) = next_event(&mut stream).await;
    // Zero is left out.
    assert_eq!(
        (name.as_str(), data.get("payments_received_micro")),
        ("invoice_progress", None)
    );
    until_stage(&deployment, &signature, "dropped").await;
    let invoice = bill.now().await;
    assert_eq!(
        (&invoice["status"], &invoice["payments_received_micro"]),
        (&"pending".into(), &0.into())
    );
    assert_eq!(moved(&deployment).await, (0, 0));
    net.chain.land(net.payment(&bill));
    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_44_an_invoice_whose_time_is_over_waits_for_its_payment_and_then_expires() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let other = Bill::new(&deployment).await;
    let signature = confirmed(&net, &bill, net.payment(&bill)).await;
    sqlx::query("update invoices set expires_at = now(), grace_until = now() where id = any($1)")
        .bind([&bill.id, &other.id].map(String::as_str).as_slice())
        .execute(deployment.pool())
        .await
        .unwrap();
    until_status(&other, "expired").await;
    assert_eq!(bill.now().await["status"], "pending");

    net.chain.fork_out(&signature).unwrap();
    net.chain.advance(200);

    let invoice = until_status(&bill, "expired").await;
    until("the event is there", async || {
        (events(&deployment, &bill, "invoice_expired").await == 1).then_some(())
    })
    .await;
    assert_eq!(invoice["payments_received_micro"], 0);
    until_published(&deployment).await;
    assert_eq!(moved(&deployment).await, (0, 0));
    assert_eq!(events(&deployment, &bill, "invoice_paid").await, 0);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_44_a_payment_that_comes_back_after_it_was_given_up_counts() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let signature = confirmed(&net, &bill, net.payment(&bill)).await;
    net.chain.fork_out(&signature).unwrap();
    net.chain.advance(200);
    until_stage(&deployment, &signature, "dropped").await;
    assert_eq!(moved(&deployment).await, (0, 0));

    net.chain.reland(&signature, net.chain.slot()).unwrap();

    until_paid_once(&deployment, &[&bill]).await;
    deployment.finish().await.unwrap();
}
