//! Notifications that are lost, doubled or in the wrong order.

use fault_kit::{Delivery, HeldOrder, NotificationFault, TopicKind};

use crate::books::until_paid_once;
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, metric};

fn on_logs(delivery: Delivery) -> NotificationFault {
    NotificationFault::on(TopicKind::Logs).deliver(delivery)
}

#[tokio::test]
async fn without_any_notification_polling_finds_everything() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    net.node().notification_fault(on_logs(Delivery::Omit));
    let bills = Bill::several(&deployment, 3).await;
    net.chain
        .land_all(bills.iter().map(|bill| net.payment(bill)));
    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    let heard = metric(deployment.watcher(0), "quittance_watch_notifications_total").await;
    assert!(heard < 0.5, "{heard} notifications");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn notifications_that_come_three_times_pay_once() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.without_polling()).await;
    net.node().notification_fault(on_logs(Delivery::Copies(3)));
    let bills = Bill::several(&deployment, 3).await;
    net.chain
        .land_all(bills.iter().map(|bill| net.payment(bill)));
    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn notifications_in_the_wrong_order_pay_the_same() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.without_polling()).await;
    net.node().notification_fault(on_logs(Delivery::Hold));
    let bills = Bill::several(&deployment, 4).await;
    for bill in &bills {
        net.chain.land(net.payment(bill));
        net.chain.advance(1);
    }
    // Each names the deposit account and the beacon.
    let held = 2 * bills.len();
    net.node()
        .wait_until(LIMIT, |node| node.held_notifications() >= held)
        .await
        .unwrap();
    assert_eq!(crate::books::moved(&deployment).await, (0, 0));

    net.node().release_held(HeldOrder::Reversed);

    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    deployment.finish().await.unwrap();
}
