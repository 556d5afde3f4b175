//! Notifications that are lost, doubled, shuffled, late or wrong.

use fault_kit::{Delivery, HeldOrder, NotificationFault, TopicKind};
use serde_json::json;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use crate::scene::{Scene, next, silence};
use crate::subscriptions::{Logs, listen};

fn pay(scene: &Scene, count: u64) -> Vec<Signature> {
    let payments = (1..=count).map(|amount| scene.chain.land(scene.payment(amount)));
    let signatures = payments.collect();
    scene.chain.advance(1);
    signatures
}

async fn told(logs: &mut Logs<'_>, count: usize) -> Vec<Signature> {
    let mut signatures = Vec::new();
    for _ in 0..count {
        signatures.push(next(logs).await.value.signature.parse().unwrap());
    }
    silence(logs).await;
    signatures
}

#[tokio::test]
async fn in_order_without_faults() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let paid = pay(&scene, 5);
    assert_eq!(told(&mut logs, 5).await, paid);
}

#[tokio::test]
async fn lost_and_doubled() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let fault = || NotificationFault::on(TopicKind::Logs).mentioning(scene.merchant);
    scene
        .node
        .notification_fault(fault().first(1).deliver(Delivery::Omit));
    scene
        .node
        .notification_fault(fault().first(1).deliver(Delivery::Copies(3)));
    let paid = pay(&scene, 3);
    let expected = [paid[1], paid[1], paid[1], paid[2]];
    assert_eq!(told(&mut logs, 4).await, expected);
}

#[tokio::test]
async fn held_and_reversed() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let fault = NotificationFault::on_any().first(3);
    scene.node.notification_fault(fault.deliver(Delivery::Hold));
    let paid = pay(&scene, 4);
    assert_eq!(told(&mut logs, 1).await, [paid[3]]);
    assert_eq!(scene.node.held_notifications(), 3);
    scene.node.release_held(HeldOrder::Reversed);
    assert_eq!(told(&mut logs, 3).await, [paid[2], paid[1], paid[0]]);
}

#[tokio::test]
async fn late() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let delay = std::time::Duration::from_millis(50);
    let fault = NotificationFault::on_any()
        .first(1)
        .deliver(Delivery::Late(delay));
    scene.node.notification_fault(fault);
    let paid = pay(&scene, 2);
    assert_eq!(told(&mut logs, 2).await, [paid[1], paid[0]]);
}

#[tokio::test]
async fn a_failure_told_as_a_success() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let failed = scene.builder().sol_transfer(scene.merchant, 1, &[]);
    let failed = failed
        .failing(TransactionError::AccountNotFound)
        .build()
        .unwrap();
    let fault = NotificationFault::on_any().about(failed.signature);
    scene
        .node
        .notification_fault(fault.deliver(Delivery::WithoutError));
    scene.chain.land(failed);
    scene.chain.advance(1);
    assert!(next(&mut logs).await.value.err.is_none());
}

#[tokio::test]
async fn something_else_entirely() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let id = scene.node.subscriptions()[0].id;
    let strange = json!({
        "jsonrpc": "2.0",
        "method": "logsNotification",
        "params": { "subscription": id, "result": { "nonsense": true } },
    });
    let fault = NotificationFault::on_any()
        .first(1)
        .deliver(Delivery::Replace(strange));
    scene.node.notification_fault(fault);
    let paid = pay(&scene, 2);
    assert_eq!(told(&mut logs, 1).await, [paid[1]]);
    scene.node.clear_notification_faults();
}
