//! The proxy, in front of a plain echo.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fault_kit::{Direction, FaultProxy, Mode, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::{MOMENT, SOON, Scene, next};
use crate::subscriptions::listen;

/// A server that sends everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                // It ends as the test wants it to end.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn proxy() -> FaultProxy {
    FaultProxy::start(echo().await).await.unwrap()
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// What comes back for these bytes.
async fn round(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    read(stream, bytes.len()).await
}

async fn read(stream: &mut TcpStream, most: usize) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; most];
    let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await;
    let read = read.expect("bytes or an end")?;
    buffer.truncate(read);
    Ok(buffer)
}

async fn quiet(stream: &mut TcpStream) {
    let mut buffer = [0; 1];
    let read = tokio::time::timeout(MOMENT, stream.read(&mut buffer)).await;
    assert!(read.is_err(), "{read:?}");
}

async fn wait(proxy: &FaultProxy, wanted: impl Fn(Traffic) -> bool) {
    let reached = async {
        while !wanted(proxy.traffic()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, reached)
        .await
        .expect("traffic as wanted");
}

fn is_reset<T: std::fmt::Debug>(result: &std::io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn bytes_pass_and_ends_too() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    assert_eq!(round(&mut stream, b"hello").await.unwrap(), b"hello");
    let traffic = proxy.traffic();
    assert_eq!((traffic.accepted, traffic.open), (1, 1));
    assert_eq!((traffic.to_server, traffic.to_client), (5, 5));
    stream.shutdown().await.unwrap();
    assert_eq!(read(&mut stream, 1).await.unwrap(), b"");
    wait(&proxy, |traffic| traffic.open == 0).await;
}

#[tokio::test]
async fn much_passes_whole() {
    let proxy = proxy().await;
    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(3_000_000).collect();
    let (mut from, mut to) = connect(&proxy).await.into_split();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        to.write_all(&copy).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    from.read_to_end(&mut back).await.unwrap();
    writing.await.unwrap();
    assert!(back == sent);
}

#[tokio::test]
async fn a_frozen_connection_neither_speaks_nor_ends() {
    let proxy = proxy().await;
    let mut open = connect(&proxy).await;
    round(&mut open, b"a").await.unwrap();
    proxy.set(Mode::Freeze).await;
    open.write_all(b"b").await.unwrap();
    quiet(&mut open).await;
    let mut new = connect(&proxy).await;
    new.write_all(b"c").await.unwrap();
    quiet(&mut new).await;
    assert_eq!(proxy.traffic().open, 2);
    proxy.set(Mode::Pass).await;
    assert_eq!(read(&mut open, 1).await.unwrap(), b"b");
    assert_eq!(read(&mut new, 1).await.unwrap(), b"c");
}

#[tokio::test]
async fn connections_are_dropped() {
    let proxy = proxy().await;
    let mut open = connect(&proxy).await;
    round(&mut open, b"a").await.unwrap();
    proxy.set(Mode::Drop).await;
    assert_eq!(read(&mut open, 1).await.unwrap(), b"");
    let mut new = connect(&proxy).await;
    assert_eq!(read(&mut new, 1).await.unwrap(), b"");
    proxy.set(Mode::Pass).await;
    let mut after = connect(&proxy).await;
    assert_eq!(round(&mut after, b"d").await.unwrap(), b"d");
}

#[tokio::test]
async fn connections_are_reset() {
    let proxy = proxy().await;
    let mut open = connect(&proxy).await;
    round(&mut open, b"a").await.unwrap();
    proxy.set(Mode::Reset).await;
    assert!(is_reset(&read(&mut open, 1).await));
    // The reset may come before the client knows that it is connected.
    let new = match TcpStream::connect(proxy.address()).await {
        Ok(mut stream) => read(&mut stream, 1).await,
        Err(error) => Err(error),
    };
    assert!(is_reset(&new));
}

#[tokio::test]
async fn open_connections_end_and_new_ones_work() {
    let proxy = proxy().await;
    for reset in [true, false] {
        let mut open = connect(&proxy).await;
        round(&mut open, b"a").await.unwrap();
        if reset {
            proxy.reset_connections();
            assert!(is_reset(&read(&mut open, 1).await));
        } else {
            proxy.drop_connections();
            assert_eq!(read(&mut open, 1).await.unwrap(), b"");
        }
        let mut new = connect(&proxy).await;
        assert_eq!(round(&mut new, b"b").await.unwrap(), b"b");
    }
}

#[tokio::test]
async fn new_connections_are_refused_on_the_same_port() {
    let proxy = proxy().await;
    let mut open = connect(&proxy).await;
    round(&mut open, b"a").await.unwrap();
    proxy.set(Mode::Refuse).await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(round(&mut open, b"b").await.unwrap(), b"b");
    proxy.set(Mode::Pass).await;
    let mut new = connect(&proxy).await;
    assert_eq!(round(&mut new, b"c").await.unwrap(), b"c");
    assert_eq!(proxy.traffic().accepted, 2);
}

#[tokio::test]
async fn one_direction_is_delayed() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    proxy.set_delay(Direction::ToClient, MOMENT);
    let before = Instant::now();
    assert_eq!(round(&mut stream, b"a").await.unwrap(), b"a");
    assert!(before.elapsed() >= MOMENT);
    assert_eq!(proxy.traffic().to_server, 1);
    proxy.set_delay(Direction::ToClient, Duration::ZERO);
    assert_eq!(round(&mut stream, b"b").await.unwrap(), b"b");
}

#[tokio::test]
async fn a_connection_is_cut_in_the_middle() {
    let proxy = proxy().await;
    proxy.set_cut(Direction::ToClient, Some(3));
    let mut stream = connect(&proxy).await;
    stream.write_all(b"hello").await.unwrap();
    wait(&proxy, |traffic| (traffic.accepted, traffic.open) == (1, 0)).await;
    assert_eq!(proxy.traffic().to_client, 3);
    assert!(is_reset(&read_all(&mut stream).await));
    proxy.set_cut(Direction::ToClient, None);
    let mut whole = connect(&proxy).await;
    assert_eq!(round(&mut whole, b"hello").await.unwrap(), b"hello");
}

async fn read_all(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut all)).await;
    read.expect("an end").map(|_| all)
}

#[tokio::test]
async fn a_server_that_is_away_closes_the_connection() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let proxy = FaultProxy::start(address).await.unwrap();
    let mut stream = connect(&proxy).await;
    assert_eq!(read(&mut stream, 1).await.unwrap(), b"");
}

#[tokio::test]
async fn a_socket_goes_through_the_proxy() {
    let scene = Scene::new().await;
    let proxy = FaultProxy::start(scene.node.ws_address()).await.unwrap();
    let client =
        solana_pubsub_client::nonblocking::pubsub_client::PubsubClient::new(proxy.url("ws"));
    let client = client.await.unwrap();
    let mut logs = listen(&scene, &client).await;
    proxy.set(Mode::Freeze).await;
    scene.chain.land(scene.payment(1));
    scene.chain.advance(1);
    crate::scene::silence(&mut logs).await;
    assert_eq!(scene.node.open_sockets(), 1);
    proxy.set(Mode::Pass).await;
    next(&mut logs).await;
}
