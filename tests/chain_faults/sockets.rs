//! Subscriptions that end, freeze, or never begin. Polling is as good as off where the socket is to be noticed.

use fault_kit::{Direction, FakeNode, Fault, FaultProxy, Handshakes, Mode, Reply, RpcMethod};
use stack::deployment::Builder;

use crate::books::until_paid_once;
use crate::scene::{Bill, Net, SUBSCRIPTIONS};
use crate::waiting::{LIMIT, metric, until, until_status};

/// The silence limit of these tests.
const SILENCE_MS: &str = "1000";

fn quick_to_notice(net: &Net) -> Builder {
    net.without_polling()
        .env("QUITTANCE_WATCH_SILENCE_MS", SILENCE_MS)
}

#[tokio::test]
async fn case_45_a_frozen_socket_is_noticed_by_its_silence() {
    let net = Net::start(1).await;
    let deployment = net.launch(quick_to_notice(&net)).await;
    let bills = Bill::several(&deployment, 2).await;
    net.node().freeze_sockets();

    net.chain.land(net.payment(&bills[0]));

    until_status(&bills[0], "paid").await;
    // What the old socket had to say comes now, if it comes at all.
    net.node().thaw_sockets();
    net.chain.land(net.payment(&bills[1]));
    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    net.node()
        .wait_until(LIMIT, |node| node.open_sockets() == 1)
        .await
        .unwrap();
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_45_a_frozen_network_is_noticed_by_its_silence() {
    let net = Net::start(1).await;
    let proxy = FaultProxy::start(net.node().ws_address()).await.unwrap();
    let builder = quick_to_notice(&net).env("SOLANA_WS_URL", proxy.url("ws"));
    let deployment = net.launch(builder).await;
    let bills = Bill::several(&deployment, 2).await;

    proxy.set(Mode::Freeze).await;
    net.chain.land(net.payment(&bills[0]));
    deployment
        .watcher(0)
        .wait_for_log("a subscription ended", LIMIT)
        .await
        .unwrap();
    proxy.set(Mode::Pass).await;

    until_status(&bills[0], "paid").await;
    net.chain.land(net.payment(&bills[1]));
    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_45_however_a_socket_ends_the_next_one_catches_up() {
    let net = Net::start(1).await;
    let proxy = FaultProxy::start(net.node().ws_address()).await.unwrap();
    let builder = quick_to_notice(&net).env("SOLANA_WS_URL", proxy.url("ws"));
    let deployment = net.launch(builder).await;
    let bills = Bill::several(&deployment, 5).await;
    let ends: [(&str, &dyn Fn()); 5] = [
        ("dropped", &|| net.node().drop_sockets()),
        ("closed", &|| net.node().close_sockets()),
        ("reset", &|| proxy.reset_connections()),
        ("cut", &|| proxy.drop_connections()),
        ("cut within a message", &|| {
            proxy.set_cut(Direction::ToClient, Some(1));
        }),
    ];
    for ((how, end), bill) in ends.into_iter().zip(&bills) {
        // Nobody listens while the payment lands.
        net.node().set_handshakes(Handshakes::Status(503, Some(1)));
        end();
        net.node()
            .wait_until(LIMIT, |node| node.open_sockets() == 0)
            .await
            .unwrap_or_else(|error| panic!("{how}: {error}"));
        net.chain.land(net.payment(bill));
        proxy.set_cut(Direction::ToClient, None);
        net.node().set_handshakes(Handshakes::Accept);
        until_status(bill, "paid").await;
        net.until_subscribed().await;
    }
    let all: Vec<&Bill> = bills.iter().collect();
    until_paid_once(&deployment, &all).await;
    // None is left behind.
    let is_alone =
        |node: &FakeNode| node.open_sockets() == 1 && node.subscriptions().len() == SUBSCRIPTIONS;
    net.node().wait_until(LIMIT, is_alone).await.unwrap();
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_is_never_acknowledged_leaves_the_rest_to_polling() {
    let net = Net::start(1).await;
    let never = Fault::on(RpcMethod::LogsSubscribe).reply(Reply::Hang);
    net.node().fault(never);
    let deployment = net.builder().start().await.unwrap();
    let bills = Bill::several(&deployment, 2).await;
    net.node()
        .wait_for_calls(RpcMethod::LogsSubscribe, 1, LIMIT)
        .await
        .unwrap();
    net.chain.land(net.payment(&bills[0]));
    until_paid_once(&deployment, &[&bills[0]]).await;
    // It gives the socket up and tries another one.
    net.node()
        .wait_for_calls(RpcMethod::LogsSubscribe, 2, LIMIT)
        .await
        .unwrap();
    net.node()
        .wait_until(LIMIT, |node| node.open_sockets() == 1)
        .await
        .unwrap();

    net.node().clear_faults();

    net.until_subscribed().await;
    net.chain.land(net.payment(&bills[1]));
    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    until("the subscription shows", async || {
        let subscribed = metric(deployment.watcher(0), "quittance_watch_subscribed").await;
        (subscribed > 0.5).then_some(())
    })
    .await;
    deployment.finish().await.unwrap();
}
