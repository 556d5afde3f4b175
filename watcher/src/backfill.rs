//! Reads the histories of the held keys, from every node: the truth about what happened. A key's cursor moves only to what
//! is final at enough nodes, whose histories were read that far, and never over what is not decided; it stays some slots
//! behind, so that what a node shows late is seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use shared::chain::{Commitment, GONE_SLOTS, Listed, Node, NodeError, Noted, reached_by};
use shared::telemetry::log_failure;
use time::OffsetDateTime;

use crate::context::Context;
use crate::openings;

/// Rows a node gives at once.
const PAGE: usize = 1000;
/// The cursor stays so many slots behind what is final.
const OVERLAP_SLOTS: u64 = GONE_SLOTS;
/// Rounds in a row after which a cursor that is ahead of the chain is no matter of nodes that lag.
const AHEAD_ROUNDS: u32 = 3;

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

/// Rounds in a row in which a key's cursor was ahead of the chain.
pub type Ahead = Mutex<BTreeMap<String, u32>>;

/// Reads again and again until the process stops, and at once when a subscription begins.
pub async fn poll(context: Context) {
    let pause = Duration::from_millis(context.config.watcher.watch_poll_interval_ms);
    let hurry = context.backfill.clone();
    let round = async |context: &Context| round(context).await;
    context.every("backfill", pause, &hurry, round).await;
}

/// How far a node was before its histories were read: what landed by then is in them.
#[derive(Debug, Clone, Copy)]
struct Tip {
    finalized: u64,
    /// When that block was made.
    time: Option<OffsetDateTime>,
}

/// Reads all held keys once. One that cannot be read keeps no other waiting.
pub async fn round(context: &Context) -> Result<(), BackfillError> {
    let keys = context.held.borrow().clone();
    let tips = join_all(
        context
            .nodes
            .each()
            .map(async |node| (node, tip(node).await)),
    )
    .await;
    let mut failed = None;
    let mut nodes = Vec::new();
    for (node, tip) in tips {
        match tip {
            Ok(tip) => nodes.push((node, tip)),
            Err(error) => failed = Some(error.into()),
        }
    }
    for key in keys {
        match read_key(context, &key, &nodes).await {
            Ok(()) => {
                metrics::gauge!("quittance_watch_polled_seconds", "key" => key)
                    .set(seconds_since_epoch());
            }
            Err(error) => failed = Some(error),
        }
    }
    // One node of several is no failure of the round: what it would have shown is shown by others, or stays ahead.
    match failed {
        Some(BackfillError::Node(error)) if !nodes.is_empty() => {
            tracing::debug!(%error, "a node's histories were not read");
            Ok(())
        }
        Some(error) => Err(error),
        None => Ok(()),
    }
}

async fn tip(node: &Node) -> Result<Tip, NodeError> {
    let finalized = node.slot(Commitment::Finalized).await?;
    // Without it nothing ends early; the history is read all the same.
    let time = node.block_time(finalized).await.unwrap_or_default();
    Ok(Tip {
        finalized,
        time: time.and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok()),
    })
}

/// Where a key's history is read from.
struct Cursor {
    start_slot: i64,
    signature: Option<String>,
    slot: Option<i64>,
}

impl Cursor {
    fn floor(&self) -> u64 {
        u64::try_from(self.slot.unwrap_or(self.start_slot)).unwrap_or(0)
    }
}

async fn read_key(
    context: &Context,
    key: &str,
    nodes: &[(&Node, Tip)],
) -> Result<(), BackfillError> {
    let cursor = sqlx::query_as!(
        Cursor,
        "select start_slot, cursor_signature as signature, cursor_slot as slot from watched_keys where key = $1",
        key
    )
    .fetch_one(&context.pool)
    .await?;
    let needed = context.nodes.agreement_now();
    let agreed = reached_by(needed, nodes.iter().map(|(_, tip)| tip.finalized));
    if let Some(agreed) = agreed
        && heal(context, key, &cursor, agreed).await?
    {
        return Ok(());
    }
    let reads = nodes.iter().map(async |(node, tip)| {
        let read = read_history(context, node, key, &cursor, tip.finalized).await;
        read.map(|newest| (*tip, newest))
    });
    let (mut read, mut failed) = (Vec::new(), None);
    for result in join_all(reads).await {
        match result {
            Ok(one) => read.push(one),
            Err(error @ BackfillError::Database(_)) => return Err(error),
            Err(error) => {
                log_failure("a history cannot be read now", &error);
                failed = Some(error);
            }
        }
    }
    if read.len() >= needed {
        return advance(context, key, needed, read).await;
    }
    failed.map_or(Ok(()), Err)
}

/// Notes everything newer than the cursor, page by page; returns the newest row that the cursor may move to.
async fn read_history(
    context: &Context,
    node: &Node,
    key: &str,
    cursor: &Cursor,
    finalized: u64,
) -> Result<Option<Listed>, BackfillError> {
    let floor = cursor.floor();
    let mut before: Option<String> = None;
    let mut reached: Option<Listed> = None;
    loop {
        let until = cursor.signature.as_deref();
        let page = node
            .history(key, before.as_deref(), until, PAGE, floor)
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
            _ => return Ok(reached),
        }
    }
}

/// Moves the cursor, and says how far the history is known.
async fn advance(
    context: &Context,
    key: &str,
    needed: usize,
    mut read: Vec<(Tip, Option<Listed>)>,
) -> Result<(), BackfillError> {
    read.sort_by_key(|(tip, _)| std::cmp::Reverse(tip.finalized));
    let agreeing = &read[..needed.clamp(1, read.len())];
    let Some((tip, _)) = agreeing.last() else {
        return Ok(());
    };
    // The earliest that one of them says: no other than the truth may end an invoice.
    let time = agreeing.iter().map(|(tip, _)| tip.time).min().flatten();
    let undecided = sqlx::query_scalar!("select first_undecided_slot()")
        .fetch_one(&context.pool)
        .await?;
    let undecided = undecided.map_or(u64::MAX, |slot| u64::try_from(slot).unwrap_or(0));
    let slot = tip
        .finalized
        .saturating_sub(OVERLAP_SLOTS)
        .min(undecided.saturating_sub(1));
    let reached = read.iter().filter_map(|(_, reached)| reached.as_ref());
    let reached = reached.filter(|row| row.slot <= slot);
    let newest = reached.max_by_key(|row| row.slot);
    let wide = |slot: u64| i64::try_from(slot).unwrap_or(i64::MAX);
    sqlx::query!(
        "update watched_keys
         set cursor_signature = coalesce($2, cursor_signature), cursor_slot = greatest(cursor_slot, start_slot, $3),
             read_slot = greatest(read_slot, $4), read_until = greatest(read_until, $5), polled_at = now()
         where key = $1",
        key,
        newest.map(|row| row.signature.as_str()),
        wide(slot),
        wide(tip.finalized),
        time
    )
    .execute(&context.pool)
    .await?;
    openings::heal(context, key, tip.finalized).await?;
    Ok(())
}

/// A cursor ahead of what enough nodes have reached was moved there by a lie, and hides what came since: the history is read
/// again from its start. True when it was.
async fn heal(
    context: &Context,
    key: &str,
    cursor: &Cursor,
    agreed: u64,
) -> Result<bool, sqlx::Error> {
    if !is_ahead_for_good(&context.ahead, key, cursor.floor() > agreed) {
        return Ok(false);
    }
    tracing::error!(
        key,
        cursor = cursor.floor(),
        chain = agreed,
        "a cursor is ahead of the chain; the history is read again from its start"
    );
    metrics::counter!("quittance_watch_cursors_ahead_total").increment(1);
    sqlx::query!(
        "update watched_keys
         set cursor_signature = null, cursor_slot = null, read_slot = null, read_until = null,
             start_slot = least(start_slot, $2)
         where key = $1",
        key,
        i64::try_from(agreed.saturating_sub(OVERLAP_SLOTS)).unwrap_or(i64::MAX)
    )
    .execute(&context.pool)
    .await?;
    Ok(true)
}

/// Counts the rounds in a row; true in the last one.
fn is_ahead_for_good(ahead: &Ahead, key: &str, is_ahead: bool) -> bool {
    let mut ahead = ahead.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_ahead {
        ahead.remove(key);
        return false;
    }
    let rounds = ahead.entry(key.to_owned()).or_default();
    *rounds += 1;
    let is_over = *rounds >= AHEAD_ROUNDS;
    if is_over {
        ahead.remove(key);
    }
    is_over
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge of Prometheus is a float"
)]
fn seconds_since_epoch() -> f64 {
    OffsetDateTime::now_utc().unix_timestamp() as f64
}
