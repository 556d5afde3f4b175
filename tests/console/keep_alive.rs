//! The bytes of a silent stream (contract §5): a snapshot, and from time to time a comment.

use reqwest::Response;
use shared::config::{Config, Process};
use stack::{Console, Deployment};

use crate::support::{Caller, LIMIT, finish, invoice, signed_in, start, starter, user};

const COMMENT: &str = ": keep-alive\n\n";

async fn open(deployment: &Deployment, console: &Console, path: &str) -> Response {
    let request = signed_in(Caller::at(deployment.api(0).url()).get(path), console);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 200, "{path}");
    response
}

/// Reads until the text ends as wanted.
async fn read_until(response: &mut Response, text: &mut String, end: &str) {
    let reading = async {
        while !text.ends_with(end) {
            let chunk = response.chunk().await.expect("the stream goes on");
            let chunk = chunk.expect("the stream is open");
            text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    };
    tokio::time::timeout(LIMIT, reading)
        .await
        .expect("it is said in time");
}

#[tokio::test]
async fn silence_is_broken_by_comments_on_both_streams() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_STREAM_KEEPALIVE_MS", "50");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let of_invoice = format!(
        "/v1/billing/invoices/{}/events",
        invoice(&console, &starter()).await
    );
    for path in [of_invoice.as_str(), "/v1/balance/events"] {
        let mut stream = open(&deployment, &console, path).await;
        let mut text = String::new();
        read_until(&mut stream, &mut text, &COMMENT.repeat(3)).await;
        let frame = text
            .strip_suffix(&COMMENT.repeat(3))
            .expect("three comments");
        let data = frame
            .strip_prefix("event: snapshot\ndata: ")
            .expect("a snapshot first");
        let data = data.strip_suffix("\n\n").expect("one frame");
        // One line of data: no `id:` and no `retry:` is among it.
        assert!(!data.contains('\n'), "{data}");
    }

    // An event between comments is a frame of its own.
    let mut stream = open(&deployment, &console, "/v1/balance/events").await;
    let mut text = String::new();
    read_until(&mut stream, &mut text, COMMENT).await;
    let moved = deployment
        .operator()
        .adjust(console.user_id(), 5, "in", "a")
        .await;
    moved.expect("adjusted");
    while !text.contains("event: balance_credit\ndata: {") {
        text.clear();
        read_until(&mut stream, &mut text, "\n\n").await;
    }
    let frames: Vec<&str> = text.split_terminator("\n\n").collect();
    let others = frames.iter().filter(|frame| **frame != ": keep-alive");
    assert_eq!(others.count(), 1, "{text}");
    finish(deployment).await;
}

#[test]
fn the_default_is_fifteen_seconds() {
    let variables = [(
        "DATABASE_URL".to_owned(),
        "postgres://nobody@localhost/none".to_owned(),
    )];
    let config = Config::from_variables(Process::Worker, variables).expect("good defaults");
    assert_eq!(config.stream.stream_keepalive_ms, 15_000);
}
