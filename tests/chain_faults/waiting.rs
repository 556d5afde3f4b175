//! Waiting for what must happen, for a bounded time.

use std::time::{Duration, Instant};

use serde_json::Value;
use solana_signature::Signature;
use stack::{Deployment, Frames, Service};

use crate::scene::Bill;

/// How long anything may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);

/// Waits for something to become true; tells what did not.
pub async fn until<T>(what: &str, check: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the invoice stands so, and returns it.
pub async fn until_status(bill: &Bill, status: &str) -> Value {
    until(&format!("{} is {status}", bill.id), async || {
        let invoice = bill.now().await;
        (invoice["status"] == status).then_some(invoice)
    })
    .await
}

/// Waits until so much of the invoice was seen on chain.
pub async fn until_received(bill: &Bill, micro: i64) -> Value {
    until(&format!("{} received {micro}", bill.id), async || {
        let invoice = bill.now().await;
        (invoice["payments_received_micro"] == micro).then_some(invoice)
    })
    .await
}

/// Where the watcher stands with a signature.
pub async fn stage(deployment: &Deployment, signature: &Signature) -> Option<String> {
    sqlx::query_scalar("select state from chain_signatures where signature = $1")
        .bind(signature.to_string())
        .fetch_optional(deployment.pool())
        .await
        .unwrap()
}

/// Waits until the watcher stands so with a signature.
pub async fn until_stage(deployment: &Deployment, signature: &Signature, wanted: &str) {
    until(&format!("{signature} is {wanted}"), async || {
        let now = stage(deployment, signature).await;
        (now.as_deref() == Some(wanted)).then_some(())
    })
    .await;
}

/// The sum of a metric of a process over all its labels; 0 when it was never counted.
pub async fn metric(service: &Service, name: &str) -> f64 {
    let url = format!("{}/metrics", service.url());
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with('{') || rest.starts_with(' ');
        is_it.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.sum()
}

/// The next event of a stream, which must come.
pub async fn next_event(frames: &mut Frames) -> (String, Value) {
    let event = frames.next_event(LIMIT).await.unwrap();
    // None: the stream was closed.
    event.unwrap()
}
