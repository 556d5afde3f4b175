//! Follows what was confirmed until it is final, and takes back what the chain has forgotten. Several nodes must not
//! contradict each other: money settles when one says final and none that is as far, or nearly so, says otherwise. One
//! that is far behind, or dead, is not waited for.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use shared::chain::{Commitment, Node, NodeError};
use shared::db::interval;
use shared::ids::TraceId;
use shared::settlement::reverse_chain_payment;
use solana_transaction_status_client_types::{TransactionConfirmationStatus, TransactionStatus};
use tokio::sync::Notify;

use crate::context::Context;
use crate::examine::{ExamineError, Examined, examine};
use crate::observe::end;

/// Signatures whose status is asked at once; nodes take no more.
const BATCH: usize = 256;
/// How long a round may take before it is repeated; a dead watcher's is taken over when its lease is over.
const HOLD: Duration = Duration::from_secs(20);
/// A blockhash lives so many slots at most: what is not there so long after its slot cannot come back.
const GONE_SLOTS: u64 = 150;
/// A node that is less behind than this is waited for; one that is so much further than a transaction must know it.
const LAG_SLOTS: u64 = 32;
/// The pause after a final transaction was not shown.
const ABSENT: Duration = Duration::from_millis(250);
/// The pause after a final transaction could not be read: it can be sooner or later.
const UNREAD: Duration = Duration::from_secs(5);

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
pub async fn round(context: &Context) -> Result<usize, ExamineError> {
    let waiting = take(context).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let signatures: Vec<String> = waiting.iter().map(|row| row.signature.clone()).collect();
    let answers = ask(context, &signatures).await?;
    let (mut is_final, mut gone, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for (place, row) in waiting.iter().enumerate() {
        match judge(place, row.slot, &answers) {
            Judgement::Final => is_final.push(row.signature.clone()),
            Judgement::Gone => gone.push(row),
            Judgement::Open => later.push(row.signature.clone()),
            Judgement::Disputed(node) => {
                report_dispute(&row.signature, node);
                later.push(row.signature.clone());
            }
        }
    }

    let settled = futures::stream::iter(is_final)
        .map(|signature| settle(context, signature))
        .buffer_unordered(context.config.watcher.watch_concurrency);
    let settled: Vec<Result<(), ExamineError>> = settled.collect().await;
    for row in gone {
        take_back(context, row).await?;
    }
    let pause = Duration::from_millis(context.config.watcher.watch_finality_interval_ms);
    postpone(context, &later, pause).await?;
    settled.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(waiting.len())
}

async fn take(context: &Context) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select signature as "signature!", slot from take_signatures('confirmed', $1, $2, $3)"#,
        i32::try_from(BATCH).unwrap_or(i32::MAX),
        interval(HOLD),
        context.id
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

/// What one node says about a batch, and which slot was final there before that.
struct Answer<'a> {
    node: &'a Node,
    finalized: u64,
    statuses: Vec<Option<TransactionStatus>>,
}

/// Asks all nodes at once; one that does not answer contradicts nobody.
async fn ask<'a>(
    context: &'a Context,
    signatures: &[String],
) -> Result<Vec<Answer<'a>>, NodeError> {
    let asked = context
        .nodes
        .each()
        .map(async |node| (node, node.statuses(signatures).await));
    let (mut answers, mut failed) = (Vec::new(), None);
    for (node, answer) in join_all(asked).await {
        match answer {
            Ok((statuses, finalized)) => answers.push(Answer {
                node,
                finalized,
                statuses,
            }),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if answers.is_empty() => Err(error),
        _ => Ok(answers),
    }
}

/// What all answers together say about one transaction.
enum Judgement<'a> {
    /// It stays.
    Final,
    /// It is gone for good.
    Gone,
    /// Not decided.
    Open,
    /// Final, if it were not for this node, which must know.
    Disputed(&'a Node),
}

fn judge<'a>(place: usize, slot: u64, answers: &[Answer<'a>]) -> Judgement<'a> {
    let status = |answer: &Answer<'_>| answer.statuses.get(place).cloned().flatten();
    let final_slots = answers
        .iter()
        .filter_map(|answer| status(answer).filter(is_finalized));
    let front = answers.iter().map(|answer| answer.finalized).max();
    let Some(slot_now) = final_slots.map(|status| status.slot).max() else {
        let is_gone = |answer: &Answer<'_>| {
            let is_far = answer.finalized > slot.saturating_add(GONE_SLOTS);
            let is_stale = Some(answer.finalized.saturating_add(GONE_SLOTS)) < front;
            status(answer).is_none() && (is_far || is_stale)
        };
        return if answers.iter().all(is_gone) {
            Judgement::Gone
        } else {
            Judgement::Open
        };
    };
    let mut others = answers
        .iter()
        .filter(|answer| !status(answer).is_some_and(|status| is_finalized(&status)))
        // It has come so far, or soon will.
        .filter(|answer| {
            answer.finalized >= slot_now
                || Some(answer.finalized.saturating_add(LAG_SLOTS)) >= front
        })
        .peekable();
    if others.peek().is_none() {
        return Judgement::Final;
    }
    others
        .find(|answer| answer.finalized >= slot_now.saturating_add(LAG_SLOTS))
        .map_or(Judgement::Open, |answer| Judgement::Disputed(answer.node))
}

fn report_dispute(signature: &str, node: &Node) {
    let node = node.label();
    tracing::error!(signature, node, "nodes disagree about finality");
    metrics::counter!("quittance_node_disagreements_total", "node" => node.to_owned()).increment(1);
}

/// Records a transaction as final.
async fn settle(context: &Context, signature: String) -> Result<(), ExamineError> {
    match examine(context, &signature, Commitment::Finalized).await? {
        Examined::Recorded(_) => end(context, &signature, "done").await?,
        // What was confirmed could be read: a node may not know what it says.
        Examined::Listed => postpone(context, &[signature], UNREAD).await?,
        // The nodes that have it do not show it yet.
        Examined::Absent => postpone(context, &[signature], ABSENT).await?,
    }
    Ok(())
}

/// Makes signatures due after a pause.
async fn postpone(
    context: &Context,
    signatures: &[String],
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chain_signatures set next_at = now() + $2, taken_by = null
         where signature = any($1) and taken_by = $3",
        signatures,
        interval(pause),
        context.id
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}

/// Whether a transaction of this slot is gone for good: no node that answers has a trace of it, and they are so far that
/// it cannot come back, but for those that are stale.
pub async fn forgotten(
    context: &Context,
    signature: &str,
    slot: u64,
) -> Result<bool, ExamineError> {
    let answers = ask(context, &[signature.to_owned()]).await?;
    Ok(matches!(judge(0, slot, &answers), Judgement::Gone))
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
