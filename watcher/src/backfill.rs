//! Reads the histories of the held keys, from every node: the truth about what happened. A key's cursor moves only
//! over final signatures that are written down, and stays some slots behind, so that what a node shows late is seen.

use std::time::Duration;

use shared::chain::{Commitment, Listed, Node, NodeError, Noted};

use crate::context::Context;

/// Rows a node gives at once.
const PAGE: usize = 1000;
/// The cursor stays so many slots behind what is final.
const OVERLAP_SLOTS: u64 = 150;

/// Why a history was not read to its end; the next round starts at the same cursor.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// No node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Reads again and again until the process stops, and at once when a subscription begins.
pub async fn poll(context: Context) {
    let pause = Duration::from_millis(context.config.watcher.watch_poll_interval_ms);
    let hurry = context.backfill.clone();
    context
        .every("backfill", pause, &hurry, async |context| {
            round(context).await
        })
        .await;
}

/// Reads the histories of the held keys once.
pub async fn round(context: &Context) -> Result<(), BackfillError> {
    let keys = context.held.borrow().clone();
    let mut failed = None;
    for key in keys {
        let mut read = false;
        for node in context.nodes.each() {
            match read_history(context, node, &key).await {
                Ok(()) => read = true,
                Err(error) => failed = Some(error),
            }
        }
        if read {
            failed = failed.filter(|error| matches!(error, BackfillError::Database(_)));
            metrics::gauge!("quittance_watch_polled_seconds", "key" => key)
                .set(seconds_since_epoch());
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Notes everything newer than the cursor, page by page, then moves the cursor.
async fn read_history(context: &Context, node: &Node, key: &str) -> Result<(), BackfillError> {
    let row = sqlx::query!(
        "select start_slot, cursor_signature, cursor_slot from watched_keys where key = $1",
        key
    )
    .fetch_one(&context.pool)
    .await?;
    let floor = u64::try_from(row.cursor_slot.unwrap_or(row.start_slot)).unwrap_or(0);
    let finalized = node.slot(Commitment::Finalized).await?;
    let mut before: Option<String> = None;
    let mut reached: Option<Listed> = None;
    loop {
        let page = node
            .history(
                key,
                before.as_deref(),
                row.cursor_signature.as_deref(),
                PAGE,
                floor,
            )
            .await?;
        let full = page.len() >= PAGE;
        let oldest = page.last().cloned();
        // A node that does not know the cursor lists what lies behind it, too.
        let fresh: Vec<Listed> = page.into_iter().filter(|row| row.slot >= floor).collect();
        let signatures: Vec<(String, Option<u64>)> = fresh
            .iter()
            .map(|row| (row.signature.clone(), Some(row.slot)))
            .collect();
        context.note(&signatures, Noted::History).await?;
        let settled = |row: &&Listed| row.slot.saturating_add(OVERLAP_SLOTS) <= finalized;
        reached = reached.or_else(|| fresh.iter().find(settled).cloned());
        match oldest {
            Some(oldest) if full && oldest.slot >= floor => before = Some(oldest.signature),
            _ => break,
        }
    }
    if let Some(Listed { signature, slot }) = reached {
        let slot = i64::try_from(slot).unwrap_or(i64::MAX);
        sqlx::query!(
            "update watched_keys set cursor_signature = $2, cursor_slot = $3, polled_at = now()
             where key = $1 and coalesce(cursor_slot, -1) < $3",
            key,
            signature,
            slot
        )
        .execute(&context.pool)
        .await?;
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge of Prometheus is a float"
)]
fn seconds_since_epoch() -> f64 {
    time::OffsetDateTime::now_utc().unix_timestamp() as f64
}
