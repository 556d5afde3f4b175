//! How many streams there may be, and what happens to readers that do not read.

use serde_json::json;
use shared::events::channel;
use stack::Deployment;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::scene::{LIMIT, metric};

#[tokio::test]
async fn a_user_has_so_many_streams_and_gets_closed_ones_back() {
    let deployment = Deployment::builder()
        .env("QUITTANCE_STREAMS_PER_USER_MAX", "2")
        .start()
        .await
        .unwrap();
    let console = deployment.user().await.unwrap();
    let first = console.balance_stream().await.unwrap();
    let _second = console.balance_stream().await.unwrap();
    let refused = console
        .raw(reqwest::Method::GET, "/v1/balance/events", None)
        .await
        .unwrap();
    assert_eq!((refused.status, refused.error()), (429, "too_many_streams"));
    assert_eq!(refused.headers["retry-after"], "1");

    drop(first);
    until_one_is_open(&deployment).await;
    drop(console.balance_stream().await.unwrap());
    deployment.finish().await.unwrap();
}

/// The streams that ended must give their places back.
async fn until_one_is_open(deployment: &Deployment) {
    let deadline = tokio::time::Instant::now() + 2 * LIMIT;
    while metric(deployment.api(0).url(), "quittance_streams_open").await > 1.0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "an ended stream keeps its place"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// One client opens a stream and never reads; another one reads. 60,000 events are more than the kernel's socket
/// buffers and the lag allowance hold, so the first is cut, though its client
/// leaves the connection open, and the second sees every one.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_is_cut_and_harms_nobody() {
    const EVENTS: i64 = 60_000;
    let deployment = Deployment::builder()
        .env("QUITTANCE_STREAM_WRITE_TIMEOUT_MS", "5000")
        .start()
        .await
        .unwrap();
    let console = deployment.user().await.unwrap();
    let address = deployment
        .api(0)
        .url()
        .trim_start_matches("http://")
        .to_owned();
    let mut idle = TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET /v1/balance/events HTTP/1.1\r\nhost: {address}\r\ncookie: nl_session={}\r\n\r\n",
        console.tokens().session
    );
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut frames = console.balance_stream().await.unwrap();
    assert_eq!(
        frames.next_event(LIMIT).await.unwrap().unwrap().0,
        "snapshot"
    );

    let prefix = deployment.settings().redis_prefix.clone();
    let topic = channel(&prefix, &format!("balance:{}", console.user_id()));
    let mut redis = deployment.redis().await.unwrap();
    for first in (1..=EVENTS).step_by(100) {
        let mut pipeline = redis::pipe();
        for position in first..first + 100 {
            let message = json!({
                "kind": "balance_credit", "position": position, "previous": position - 1, "trace_id": "t",
                "data": {"new_balance": position, "padding": "x".repeat(200)},
            });
            pipeline.publish(&topic, message.to_string()).ignore();
        }
        let () = pipeline.query_async(&mut redis).await.unwrap();
        // The reader keeps up: the next portion comes once it has read this one.
        for position in first..first + 100 {
            let (_, data) = frames
                .next_event(LIMIT)
                .await
                .unwrap()
                .expect("a reader is not cut");
            assert_eq!(data["new_balance"], position);
        }
    }
    let cut = metric(deployment.api(0).url(), "quittance_streams_cut_total").await;
    assert!((cut - 1.0).abs() < f64::EPSILON, "{cut} streams were cut");
    until_one_is_open(&deployment).await;
    drop((idle, frames));
    deployment.finish().await.unwrap();
}
