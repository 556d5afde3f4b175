//! A user whose ledger moves without being published, so that a test decides what arrives and when.

use std::time::Duration;

use redis::AsyncCommands as _;
use serde_json::Value;
use shared::events::channel;
use stack::{Console, Deployment, Frames};

/// How long anything that must happen may take.
pub const LIMIT: Duration = Duration::from_secs(10);
/// An age that no event of a test reaches: the outbox sweep stays out of the way.
pub const NEVER_MS: &str = "3600000";

/// Moves a balance without publishing; returns the message that would have been published.
pub async fn adjust_silently(
    deployment: &Deployment,
    console: &Console,
    delta_micro: i64,
) -> String {
    let messages: Vec<String> = sqlx::query_scalar(
        "select messages from adjust_balance($1, $2, 'test', gen_random_uuid()::text, 'trace')",
    )
    .bind(console.user_id())
    .bind(delta_micro)
    .fetch_one(deployment.pool())
    .await
    .unwrap();
    messages.into_iter().next().unwrap()
}

/// Publishes a message on the user's balance topic.
pub async fn publish(deployment: &Deployment, console: &Console, message: &str) {
    let channel = channel(
        &deployment.settings().redis_prefix,
        &format!("balance:{}", console.user_id()),
    );
    let receivers: u64 = deployment
        .redis()
        .await
        .unwrap()
        .publish(channel, message)
        .await
        .unwrap();
    assert_eq!(receivers, 1, "the api must be subscribed");
}

/// The next event's name and its balance.
pub async fn next_balance(frames: &mut Frames) -> (String, i64) {
    let (name, data) = frames
        .next_event(LIMIT)
        .await
        .unwrap()
        .expect("the stream must stay open");
    let key = if name == "snapshot" {
        "amount_micro"
    } else {
        "new_balance"
    };
    let balance = data[key].as_i64().unwrap();
    (name, balance)
}

/// A sample of a metric of an api, summed over its labels.
pub async fn metric(url: &str, name: &str) -> f64 {
    let text = reqwest::get(format!("{url}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The position in a message.
pub fn position(message: &str) -> i64 {
    serde_json::from_str::<Value>(message).unwrap()["position"]
        .as_i64()
        .unwrap()
}
