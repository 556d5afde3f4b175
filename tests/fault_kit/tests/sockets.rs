//! Sockets that freeze, break, or never start.

use std::time::{Duration, Instant};

use fault_kit::{FakeNode, Fault, Handshakes, Reply, RpcMethod};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use solana_pubsub_client::nonblocking::pubsub_client::PubsubClient;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::scene::{MOMENT, SOON, Scene, next, silence};
use crate::subscriptions::listen;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(scene: &Scene) -> Socket {
    connect_async(scene.node.ws_url()).await.unwrap().0
}

async fn request(socket: &mut Socket, id: u64, method: &str, params: Value) {
    let text = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    socket.send(Message::text(text.to_string())).await.unwrap();
}

async fn receive(socket: &mut Socket) -> Option<Message> {
    let message = tokio::time::timeout(SOON, socket.next()).await.unwrap();
    message.and_then(Result::ok)
}

async fn answer(socket: &mut Socket) -> Value {
    let message = receive(socket).await.unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

async fn quiet(socket: &mut Socket) {
    let message = tokio::time::timeout(MOMENT, socket.next()).await;
    assert!(message.is_err(), "{message:?}");
}

fn empty(node: &FakeNode) -> bool {
    node.open_sockets() == 0
}

#[tokio::test]
async fn a_frozen_socket_stays_open_without_pongs() {
    let scene = Scene::new().await;
    let mut socket = connect(&scene).await;
    request(&mut socket, 1, "slotSubscribe", json!([])).await;
    assert_eq!(answer(&mut socket).await["id"], json!(1));
    socket.send(Message::Ping("a".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Some(Message::Pong("a".into())));
    scene.node.freeze_sockets();
    scene.chain.advance(1);
    socket.send(Message::Ping("b".into())).await.unwrap();
    quiet(&mut socket).await;
    assert_eq!(scene.node.open_sockets(), 1);
    scene.node.thaw_sockets();
    let mut later = [receive(&mut socket).await, receive(&mut socket).await];
    later.sort_by_key(|message| matches!(message, Some(Message::Pong(_))));
    assert!(matches!(&later[0], Some(Message::Text(text)) if text.contains("1001")));
    assert_eq!(later[1], Some(Message::Pong("b".into())));
}

#[tokio::test]
async fn dropped_and_closed_sockets_end_the_streams() {
    let scene = Scene::new().await;
    for drop in [true, false] {
        let client = scene.pubsub().await;
        let mut logs = listen(&scene, &client).await;
        if drop {
            scene.node.drop_sockets();
        } else {
            scene.node.close_sockets();
        }
        let end = tokio::time::timeout(SOON, logs.next()).await.unwrap();
        assert!(end.is_none());
        scene.node.wait_until(SOON, empty).await.unwrap();
        assert!(scene.node.subscriptions().is_empty());
    }
    assert_eq!(scene.node.sockets_so_far(), 2);
}

#[tokio::test]
async fn a_close_says_goodbye_and_a_drop_does_not() {
    let scene = Scene::new().await;
    let mut socket = connect(&scene).await;
    scene
        .node
        .wait_until(SOON, |node| node.open_sockets() == 1)
        .await
        .unwrap();
    scene.node.close_sockets();
    assert!(matches!(
        receive(&mut socket).await,
        Some(Message::Close(_))
    ));
    let mut socket = connect(&scene).await;
    scene
        .node
        .wait_until(SOON, |node| node.sockets_so_far() == 2)
        .await
        .unwrap();
    scene.node.drop_sockets();
    assert_eq!(receive(&mut socket).await, None);
}

#[tokio::test]
async fn a_subscription_is_never_acknowledged() {
    let scene = Scene::new().await;
    scene.node.fault(
        Fault::on(RpcMethod::LogsSubscribe)
            .first(1)
            .reply(Reply::Hang),
    );
    let mut socket = connect(&scene).await;
    request(&mut socket, 1, "logsSubscribe", json!(["all"])).await;
    request(&mut socket, 2, "slotSubscribe", json!([])).await;
    assert_eq!(answer(&mut socket).await["id"], json!(2));
    scene.chain.land(scene.payment(1));
    scene.chain.advance(1);
    assert_eq!(
        answer(&mut socket).await["method"],
        json!("slotNotification")
    );
    quiet(&mut socket).await;
    assert_eq!(scene.node.count(RpcMethod::LogsSubscribe), 1);
    assert_eq!(scene.node.subscriptions().len(), 1);
}

#[tokio::test]
async fn a_slow_acknowledgement_comes_before_notifications() {
    let scene = Scene::new().await;
    let slow = Fault::on(RpcMethod::LogsSubscribe).first(1);
    scene.node.fault(slow.reply(Reply::Delay(MOMENT)));
    let client = scene.pubsub().await;
    let before = Instant::now();
    let mut logs = listen(&scene, &client).await;
    assert!(before.elapsed() >= MOMENT);
    scene.chain.land(scene.payment(1));
    scene.chain.advance(1);
    next(&mut logs).await;
}

#[tokio::test]
async fn a_subscription_can_fail_or_cost_the_socket() {
    let scene = Scene::new().await;
    let first = Fault::on(RpcMethod::SlotSubscribe).first(1);
    scene
        .node
        .fault(first.reply(Reply::error(-32_603, "too many subscriptions")));
    let second = Fault::on(RpcMethod::SlotSubscribe).first(1);
    scene.node.fault(second.reply(Reply::Disconnect));
    let mut socket = connect(&scene).await;
    request(&mut socket, 1, "slotSubscribe", json!([])).await;
    let refused = answer(&mut socket).await;
    assert_eq!(refused["error"]["message"], json!("too many subscriptions"));
    request(&mut socket, 2, "slotSubscribe", json!([])).await;
    assert_eq!(receive(&mut socket).await, None);
    scene.node.wait_until(SOON, empty).await.unwrap();
}

#[tokio::test]
async fn asking_twice_gives_the_same_subscription() {
    let scene = Scene::new().await;
    let mut socket = connect(&scene).await;
    request(&mut socket, 1, "slotSubscribe", json!([])).await;
    let first = answer(&mut socket).await["result"].clone();
    request(&mut socket, 2, "slotSubscribe", json!([])).await;
    assert_eq!(answer(&mut socket).await["result"], first);
    request(&mut socket, 3, "slotUnsubscribe", json!([first])).await;
    assert_eq!(answer(&mut socket).await["result"], json!(true));
    request(&mut socket, 4, "slotUnsubscribe", json!([first])).await;
    assert_eq!(answer(&mut socket).await["error"]["code"], json!(-32_602));
    scene.chain.advance(1);
    quiet(&mut socket).await;
}

#[tokio::test]
async fn strange_messages_are_answered_or_end_the_socket() {
    let scene = Scene::new().await;
    let mut socket = connect(&scene).await;
    request(&mut socket, 1, "blockSubscribe", json!([])).await;
    assert_eq!(answer(&mut socket).await["error"]["code"], json!(-32_601));
    socket.send(Message::text("{")).await.unwrap();
    assert_eq!(answer(&mut socket).await["error"]["code"], json!(-32_700));
    socket.send(Message::text(" ".repeat(4_097))).await.unwrap();
    assert!(!matches!(
        receive(&mut socket).await,
        Some(Message::Text(_))
    ));
    scene.node.wait_until(SOON, empty).await.unwrap();
}

#[tokio::test]
async fn new_sockets_can_be_turned_away() {
    let scene = Scene::new().await;
    let url = scene.node.ws_url();
    scene.node.set_handshakes(Handshakes::Drop);
    assert!(PubsubClient::new(url.clone()).await.is_err());
    scene.node.set_handshakes(Handshakes::Status(503, None));
    assert!(PubsubClient::new(url.clone()).await.is_err());
    scene.node.set_handshakes(Handshakes::Hang);
    let hanging = tokio::time::timeout(MOMENT, PubsubClient::new(url.clone())).await;
    assert!(hanging.is_err());
    scene.node.set_handshakes(Handshakes::Status(429, Some(1)));
    let before = Instant::now();
    let node = scene.node.clone();
    let opening = tokio::spawn(async move {
        let refused = |node: &FakeNode| node.sockets_turned_away() == 4;
        node.wait_until(SOON, refused).await.unwrap();
        node.set_handshakes(Handshakes::Accept);
    });
    let client = PubsubClient::new(url).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    opening.await.unwrap();
    let (mut slots, _stop) = client.slot_subscribe().await.unwrap();
    silence(&mut slots).await;
}

#[tokio::test]
async fn a_node_that_is_dropped_is_gone() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let Scene { node, rpc, .. } = scene;
    drop(node);
    let end = tokio::time::timeout(SOON, logs.next()).await.unwrap();
    assert!(end.is_none());
    assert!(rpc.get_slot().await.is_err());
}
