//! Follows what was confirmed until it is final. Money settles when enough nodes show the same effect and none that must
//! know contradicts; nothing that one node or one transaction does delays the others.
//!
//! The socket tells the chain's root with each slot, so that finality is asked for when there is something to hear. Without
//! it a timer asks where everything stands.

use std::time::Duration;

use futures::StreamExt as _;
use shared::chain::{GONE_SLOTS, Sight, Standing};
use shared::db::interval;
use shared::telemetry::log_failure;
use solana_rpc_client_api::request::RpcRequest;

use crate::context::Context;
use crate::examine::{ExamineError, Examined, examine_final, list};
use crate::gone;
use crate::observe::FAILED;
use crate::weigh::Waited;

/// Signatures whose status is asked at once; nodes take no more.
const BATCH: usize = 256;
/// How long a round may take before it is repeated; a dead watcher's is taken over when its lease is over.
const HOLD: Duration = Duration::from_secs(20);
/// The pause after a final transaction was not shown; each is twice the one before.
const ABSENT: Duration = Duration::from_millis(250);
/// The longest pause while nodes disagree.
const DISPUTE_MAX: Duration = Duration::from_secs(30);
/// The pause after a final transaction could not be read: it can be sooner or later.
const LISTED: Duration = Duration::from_secs(5);
/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// Attempts after which a transaction whose effects are still missing is listed.
const PATIENCE: i32 = 5;

struct Waiting {
    signature: String,
    slot: u64,
    attempts: i32,
    found_at: time::OffsetDateTime,
}

/// Follows until the process stops.
pub async fn track(context: Context) {
    let pause = Duration::from_millis(context.config.watcher.watch_finality_interval_ms);
    let work = async |context: &Context| {
        while round(context).await? >= BATCH && !context.shutdown.is_stopping() {}
        Ok::<(), ExamineError>(())
    };
    context
        .every("finality", pause, &context.ripening.ripe, work)
        .await;
}

/// Looks at one batch; returns its size.
pub async fn round(context: &Context) -> Result<usize, ExamineError> {
    let silence = Duration::from_millis(context.config.watcher.watch_silence_ms);
    let root = context.ripening.root(silence);
    let waiting = take(context, root).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let count = waiting.len();
    let due = match root {
        Some(_) => waiting,
        None => sift(context, waiting).await?,
    };
    futures::stream::iter(due)
        .for_each_concurrent(context.config.watcher.watch_concurrency, async |row| {
            settle(context, &row).await;
        })
        .await;
    Ok(count)
}

async fn take(context: &Context, root: Option<u64>) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select signature as "signature!", slot, attempts as "attempts!", found_at as "found_at!"
           from take_signatures('confirmed', $1, $2, $3, $4)"#,
        i32::try_from(BATCH).unwrap_or(i32::MAX),
        interval(HOLD),
        context.id,
        root.and_then(|root| i64::try_from(root).ok())
    )
    .fetch_all(&context.pool)
    .await?;
    let waiting = rows.into_iter().map(|row| Waiting {
        signature: row.signature,
        slot: row
            .slot
            .and_then(|slot| u64::try_from(slot).ok())
            .unwrap_or(0),
        attempts: row.attempts,
        found_at: row.found_at,
    });
    Ok(waiting.collect())
}

/// Asks every node where all of it stands, and returns what may be final or gone; the rest is due again in time.
async fn sift(context: &Context, waiting: Vec<Waiting>) -> Result<Vec<Waiting>, ExamineError> {
    let signatures: Vec<String> = waiting.iter().map(|row| row.signature.clone()).collect();
    let answers = match context
        .nodes
        .ask_useful(RpcRequest::GetSignatureStatuses, |node| {
            node.standings(&signatures)
        })
        .await
    {
        Ok(answers) => answers,
        Err(error) => {
            postpone(context, &signatures, FAILED).await?;
            return Err(error.into());
        }
    };
    let (mut due, mut early) = (Vec::new(), Vec::new());
    for (place, row) in waiting.into_iter().enumerate() {
        let mut seen = answers.iter().filter_map(|standings| standings.get(place));
        let is_telling = |standing: &Standing| match standing.sight {
            Sight::Final => true,
            Sight::Seen => false,
            Sight::Unknown => standing.finalized > row.slot.saturating_add(GONE_SLOTS),
        };
        if seen.any(is_telling) {
            due.push(row);
        } else {
            early.push(row.signature);
        }
    }
    let pause = Duration::from_millis(context.config.watcher.watch_finality_interval_ms);
    postpone_untried(context, &early, pause).await?;
    Ok(due)
}

/// Settles one, or says when to look again. What fails is due again soon, and nothing else is.
async fn settle(context: &Context, row: &Waiting) {
    let pause = match try_settle(context, row).await {
        Ok(None) => return,
        Ok(Some(pause)) => pause,
        Err(error) => {
            log_failure("a payment cannot be settled now", &error);
            FAILED
        }
    };
    let signature = std::slice::from_ref(&row.signature);
    if let Err(error) = postpone(context, signature, pause).await {
        // It is due again once the hold is over.
        log_failure("a payment cannot be postponed", &error);
    }
}

/// Settles one; the pause until the next look if there is to be one.
async fn try_settle(context: &Context, row: &Waiting) -> Result<Option<Duration>, ExamineError> {
    let signature = &row.signature;
    let doublings = u32::try_from(row.attempts - 1).unwrap_or(0).min(10);
    let grown = |pause: Duration| (pause * (1 << doublings)).min(PAUSE_MAX);
    let is_first = row.attempts <= 1;
    let interval = Duration::from_millis(context.config.watcher.watch_finality_interval_ms);
    let interval_max = interval.max(ABSENT);
    let absence = Duration::from_millis(context.config.chain.solana_node_absent_ms);
    let age = time::OffsetDateTime::now_utc() - row.found_at;
    let waited = if is_first {
        Waited::Hardly
    } else if age > absence {
        Waited::Long
    } else {
        Waited::Some
    };
    match examine_final(context, signature, row.slot, waited).await? {
        Examined::Recorded(_) => Ok(None),
        Examined::Absent => {
            let is_gone = gone::count(context, signature, row.slot).await?;
            Ok((!is_gone).then(|| gone::pause(context)))
        }
        // The nodes that have it do not show it yet.
        Examined::Waiting => Ok(Some(grown(ABSENT).min(interval_max))),
        Examined::Seen => {
            gone::forget(context, signature).await?;
            Ok(Some(grown(ABSENT).min(interval_max)))
        }
        Examined::Disputed => Ok(Some(grown(FAILED).min(DISPUTE_MAX))),
        // What was confirmed could be read: a node may not know what it says.
        Examined::Listed => Ok(Some(grown(LISTED))),
        Examined::NoEffects if row.attempts < PATIENCE => Ok(Some(grown(ABSENT))),
        Examined::NoEffects => {
            list(context, signature, "no_effects", None).await?;
            Ok(Some(grown(LISTED)))
        }
    }
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

/// As `postpone`, for those that it was only too early for.
async fn postpone_untried(
    context: &Context,
    signatures: &[String],
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chain_signatures set next_at = now() + $2, taken_by = null, attempts = 0
         where signature = any($1) and taken_by = $3",
        signatures,
        interval(pause),
        context.id
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}
