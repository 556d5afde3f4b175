//! Follows what was confirmed until it is final, and takes back what the chain has forgotten. Several nodes must not
//! contradict each other: money settles when one says final and none that is as far says otherwise.

use std::time::Duration;

use futures::StreamExt as _;
use shared::chain::{Commitment, NodeError};
use shared::ids::TraceId;
use shared::settlement::reverse_chain_payment;
use solana_transaction_status_client_types::{TransactionConfirmationStatus, TransactionStatus};
use tokio::sync::Notify;

use crate::context::Context;
use crate::examine::{ExamineError, Examined, examine};
use crate::observe::{end, pg_interval};

/// Signatures whose status is asked at once; nodes take no more.
const BATCH: usize = 256;
/// How long a round may take before another watcher repeats it.
const HOLD: Duration = Duration::from_secs(20);
/// A blockhash lives so many slots at most: what is not there so long after its slot cannot come back.
const GONE_SLOTS: u64 = 150;
/// A node so many slots further than a transaction's must know about it.
const LAG_SLOTS: u64 = 32;

struct Waiting {
    signature: String,
    slot: u64,
}

/// Follows until the process stops.
pub async fn track(context: Context) {
    let pause = Duration::from_millis(context.config.watcher.watch_finality_interval_ms);
    let work = async |context: &Context| {
        while round(context).await? >= BATCH && !context.shutdown.is_stopping() {}
        Ok::<(), ExamineError>(())
    };
    context.every("finality", pause, &Notify::new(), work).await;
}

/// Looks at one batch; returns its size.
async fn round(context: &Context) -> Result<usize, ExamineError> {
    let waiting = take(context).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let signatures: Vec<String> = waiting.iter().map(|row| row.signature.clone()).collect();
    let statuses = context.nodes.statuses(&signatures).await?;
    let (mut is_final, mut gone, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for (row, status) in waiting.iter().zip(statuses) {
        match status {
            Some(status) if is_finalized(&status) => is_final.push(row),
            Some(_) => later.push(row.signature.clone()),
            None => gone.push(row),
        }
    }
    let disputed = disputed(context, &is_final).await;
    later.extend(disputed.iter().cloned());
    let is_final: Vec<String> = is_final
        .into_iter()
        .map(|row| row.signature.clone())
        .filter(|signature| !disputed.contains(signature))
        .collect();

    let settled = futures::stream::iter(is_final)
        .map(|signature| settle(context, signature))
        .buffer_unordered(context.config.watcher.watch_concurrency);
    let settled: Vec<Result<(), ExamineError>> = settled.collect().await;
    for row in gone {
        if forgotten(context, &row.signature, row.slot).await? {
            take_back(context, row).await?;
        } else {
            later.push(row.signature.clone());
        }
    }
    let pause = Duration::from_millis(context.config.watcher.watch_finality_interval_ms);
    sqlx::query!(
        "update chain_signatures set next_at = now() + $2 where signature = any($1)",
        &later,
        pg_interval(pause)
    )
    .execute(&context.pool)
    .await?;
    settled.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(waiting.len())
}

async fn take(context: &Context) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select signature as "signature!", slot from take_signatures('confirmed', $1, $2)"#,
        i32::try_from(BATCH).unwrap_or(i32::MAX),
        pg_interval(HOLD)
    )
    .fetch_all(&context.pool)
    .await?;
    let waiting = rows.into_iter().map(|row| Waiting {
        signature: row.signature,
        slot: row
            .slot
            .and_then(|slot| u64::try_from(slot).ok())
            .unwrap_or(0),
    });
    Ok(waiting.collect())
}

fn is_finalized(status: &TransactionStatus) -> bool {
    status.confirmation_status == Some(TransactionConfirmationStatus::Finalized)
        || status.confirmation_status.is_none() && status.confirmations.is_none()
}

/// Records a transaction as final.
async fn settle(context: &Context, signature: String) -> Result<(), ExamineError> {
    match examine(context, &signature, Commitment::Finalized).await? {
        Examined::Recorded(_) | Examined::Listed => {
            end(context, &signature, "done").await?;
        }
        // The node that answered is behind; it is due again when the hold is over, or now at another one.
        Examined::Absent => {
            sqlx::query!(
                "update chain_signatures set next_at = now() + interval '250 milliseconds' where signature = $1",
                signature
            )
            .execute(&context.pool)
            .await?;
        }
    }
    Ok(())
}

/// Which of these a second node contradicts although it is far enough to know.
async fn disputed(context: &Context, rows: &[&Waiting]) -> Vec<String> {
    let mut disputed = Vec::new();
    if rows.is_empty() || context.nodes.each().count() < 2 {
        return disputed;
    }
    let signatures: Vec<String> = rows.iter().map(|row| row.signature.clone()).collect();
    for node in context.nodes.each() {
        // One that does not answer contradicts nobody.
        let Ok((statuses, finalized)) = node.statuses(&signatures).await else {
            continue;
        };
        for (row, status) in rows.iter().zip(statuses) {
            let knows = finalized >= row.slot.saturating_add(LAG_SLOTS);
            if knows && !status.is_some_and(|status| is_finalized(&status)) {
                tracing::error!(
                    signature = row.signature,
                    node = node.label(),
                    "nodes disagree about finality"
                );
                metrics::counter!("quittance_node_disagreements_total", "node" => node.label().to_owned())
                    .increment(1);
                disputed.push(row.signature.clone());
            }
        }
    }
    disputed
}

/// Whether a transaction of this slot is gone for good: every node that answers is so far that it cannot come back, and
/// has no trace of it.
pub async fn forgotten(
    context: &Context,
    signature: &str,
    slot: u64,
) -> Result<bool, ExamineError> {
    let signatures = [signature.to_owned()];
    let mut asked = 0;
    let mut last: Option<NodeError> = None;
    for node in context.nodes.each() {
        match node.statuses(&signatures).await {
            Ok((statuses, finalized)) => {
                asked += 1;
                let known = statuses.iter().any(Option::is_some);
                if known || finalized <= slot.saturating_add(GONE_SLOTS) {
                    return Ok(false);
                }
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if asked == 0 => Err(error.into()),
        _ => Ok(true),
    }
}

/// Takes a confirmation back.
async fn take_back(context: &Context, row: &Waiting) -> Result<(), ExamineError> {
    let trace = TraceId::generate();
    let reversed = reverse_chain_payment(&context.pool, &row.signature, &trace).await?;
    if let Some(publication) = reversed {
        tracing::warn!(signature = row.signature, slot = row.slot, trace_id = %trace, "payment_reversed");
        metrics::counter!("quittance_chain_reversals_total").increment(1);
        if let Some(publication) = publication {
            context.publisher.publish(publication);
        }
    }
    end(context, &row.signature, "dropped").await?;
    Ok(())
}
