//! Subscriptions to the logs of the held keys, for latency only. The socket's slots are its heartbeat: without a new
//! one for a while it is dead, whatever TCP believes. Once all subscriptions are acknowledged histories are read, twice, for
//! what happened before is told to nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::SelectAll;
use futures::{StreamExt as _, stream::BoxStream};
use shared::chain::Noted;
use solana_commitment_config::CommitmentConfig;
use solana_pubsub_client::nonblocking::pubsub_client::{PubsubClient, PubsubClientError};
use solana_rpc_client_api::config::{RpcTransactionLogsConfig, RpcTransactionLogsFilter};
use solana_rpc_client_api::response::{Response, RpcLogsResponse};
use tokio::time::timeout;

use crate::context::Context;

/// How long connecting, and each subscription's acknowledgement, may take.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);
const RECONNECT_MIN: Duration = Duration::from_millis(250);
const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// How long after its acknowledgement histories are read once more: what was executed then, and not yet confirmed, is
/// told to nobody, and is in no history at once.
const SECOND_READ: Duration = Duration::from_secs(3);
/// Notifications written down at once at most.
const CHUNK: usize = 256;

/// Why a socket was given up.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the node refused")]
    Client(#[from] PubsubClientError),
    #[error("the node did not acknowledge in time")]
    NoAcknowledgement,
    #[error("no slot for too long")]
    Silent,
    #[error("the socket was closed")]
    Closed,
}

type Logs<'a> = SelectAll<BoxStream<'a, Response<RpcLogsResponse>>>;

/// Follows until the process stops; without a WebSocket endpoint, polling is all there is.
pub async fn follow(context: Context) {
    let Some(url) = context.config.chain.ws_url().map(str::to_owned) else {
        return;
    };
    let mut held = context.held.clone();
    let mut pause = RECONNECT_MIN;
    loop {
        let keys = held.borrow_and_update().clone();
        let mut acknowledged = false;
        let ended = tokio::select! {
            ended = session(&context, &url, &keys, &mut acknowledged), if !keys.is_empty() => Some(ended),
            changed = held.changed() => {
                if changed.is_err() { return }
                None
            }
            () = context.shutdown.wait() => return,
        };
        metrics::gauge!("quittance_watch_subscribed").set(0.0);
        let Some(Err(error)) = ended else { continue };
        // The library's errors name the URL, which may hold an access key.
        tracing::warn!(reason = %error, "a subscription ended");
        metrics::counter!("quittance_watch_reconnects_total").increment(1);
        if acknowledged {
            pause = RECONNECT_MIN;
        }
        let jitter = rand::random_range(0..=pause.as_millis().try_into().unwrap_or(u64::MAX) / 2);
        tokio::select! {
            () = tokio::time::sleep(pause + Duration::from_millis(jitter)) => {}
            () = context.shutdown.wait() => return,
        }
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}

/// One socket, from its beginning to its failure. A client that failed to answer once is not used again.
async fn session(
    context: &Context,
    url: &str,
    keys: &BTreeSet<String>,
    acknowledged: &mut bool,
) -> Result<(), FollowError> {
    let late = |_| FollowError::NoAcknowledgement;
    let client = timeout(ACKNOWLEDGE, PubsubClient::new(url))
        .await
        .map_err(late)??;
    let (mut slots, _) = timeout(ACKNOWLEDGE, client.slot_subscribe())
        .await
        .map_err(late)??;
    let mut logs: Logs<'_> = SelectAll::new();
    for key in keys {
        // A node takes one key per subscription, no more.
        let filter = RpcTransactionLogsFilter::Mentions(vec![key.clone()]);
        let options = RpcTransactionLogsConfig {
            commitment: Some(CommitmentConfig::confirmed()),
        };
        let subscribing = client.logs_subscribe(filter, options);
        let (stream, _) = timeout(ACKNOWLEDGE, subscribing).await.map_err(late)??;
        logs.push(stream);
    }
    *acknowledged = true;
    metrics::gauge!("quittance_watch_subscribed").set(1.0);
    tracing::info!(keys = keys.len(), "subscribed");
    context.backfill.notify_one();

    let silence = Duration::from_millis(context.config.watcher.watch_silence_ms);
    let mut logs = logs.ready_chunks(CHUNK);
    let mut deadline = tokio::time::Instant::now() + silence;
    let mut second_read = std::pin::pin!(tokio::time::sleep(SECOND_READ));
    let mut is_read_again = false;
    loop {
        tokio::select! {
            // All streams of a socket end together.
            slot = slots.next() => match slot {
                Some(slot) => {
                    deadline = tokio::time::Instant::now() + silence;
                    context.ripening.rooted(slot.root);
                }
                None => return Err(FollowError::Closed),
            },
            Some(chunk) = logs.next() => take(context, chunk).await,
            () = &mut second_read, if !is_read_again => {
                is_read_again = true;
                context.backfill.notify_one();
            }
            () = tokio::time::sleep_until(deadline) => return Err(FollowError::Silent),
        }
    }
}

/// Writes notifications down. What they say about success is not believed.
async fn take(context: &Context, chunk: Vec<Response<RpcLogsResponse>>) {
    let signatures: Vec<(String, Option<u64>)> = chunk
        .into_iter()
        .map(|log| (log.value.signature, Some(log.context.slot)))
        .collect();
    metrics::counter!("quittance_watch_notifications_total").increment(signatures.len() as u64);
    if let Err(error) = context.note(&signatures, Noted::Subscription).await {
        shared::telemetry::log_failure("notifications wait for polling", &error);
    }
}
