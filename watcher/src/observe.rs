//! Examines what was found, most urgent first. A signature that no node shows yet is asked for again, ever more rarely;
//! it is not invalid, only late. One that cannot be read is listed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use shared::db::interval;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::examine::{ExamineError, Examined, examine_confirmed, examine_final, list};
use crate::gone;
use crate::lost::RETRY_MAX;
use crate::weigh::Waited;

/// How often to look without being told: another process may have found something.
const LOOK: Duration = Duration::from_millis(200);
/// How long an examination may take before it is repeated; a dead watcher's are taken over when its lease is over.
const HOLD: Duration = Duration::from_secs(20);
/// Waits for a transaction that no node shows, or none so that it can be read: these, then the last again and again for
/// what is not shown, and ever longer ones for what cannot be read.
const ABSENT_MS: [u64; 6] = [250, 500, 1_000, 2_000, 4_000, 30_000];
/// After so long a signature that no node has ever shown is held against what every node knows, wherever it may have
/// landed.
const NEVER_SHOWN: time::Duration = time::Duration::minutes(10);
/// What is taken beyond the free places: in a burst one statement takes for many.
const AHEAD: usize = 32;
/// The wait after a failure of ours or of all nodes.
pub const FAILED: Duration = Duration::from_secs(1);

struct Taken {
    signature: String,
    slot: Option<u64>,
    attempts: i32,
    found_at: time::OffsetDateTime,
}

/// Examines until the process stops, then ends what it began.
pub async fn examine_found(context: Context) {
    let places = Arc::new(Semaphore::new(context.config.watcher.watch_concurrency));
    let mut running = JoinSet::new();
    while !context.shutdown.is_stopping() {
        while running.try_join_next().is_some() {}
        // At least one place must be free before anything is taken.
        let Ok(first) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let free = places.available_permits() + 1;
        let limit = i32::try_from(free + AHEAD).unwrap_or(i32::MAX);
        let taken = match take(&context, limit).await {
            Ok(taken) => taken,
            Err(error) => {
                shared::telemetry::log_failure("found signatures cannot be read", &error);
                tokio::time::sleep(FAILED).await;
                Vec::new()
            }
        };
        if taken.is_empty() {
            tokio::select! {
                () = context.found.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = context.shutdown.wait() => {}
            }
            continue;
        }
        let mut place = Some(first);
        for row in taken {
            if context.shutdown.is_stopping() {
                // Whoever lives takes over what was not begun.
                break;
            }
            let place = match place.take() {
                Some(place) => Some(place),
                None => Arc::clone(&places).acquire_owned().await.ok(),
            };
            let context = context.clone();
            running.spawn(async move {
                work(&context, row).await;
                drop(place);
            });
        }
    }
    running.join_all().await;
}

/// Examines what is due now, one after the other; returns how many.
pub async fn round(context: &Context) -> Result<usize, sqlx::Error> {
    let taken = take(context, i32::MAX).await?;
    let count = taken.len();
    for row in taken {
        work(context, row).await;
    }
    Ok(count)
}

async fn take(context: &Context, limit: i32) -> Result<Vec<Taken>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select signature as "signature!", slot, attempts as "attempts!", found_at as "found_at!"
           from take_signatures('found', $1, $2, $3)"#,
        limit,
        interval(HOLD),
        context.id
    )
    .fetch_all(&context.pool)
    .await?;
    let taken = rows.into_iter().map(|row| Taken {
        signature: row.signature,
        slot: row.slot.and_then(|slot| u64::try_from(slot).ok()),
        attempts: row.attempts,
        found_at: row.found_at,
    });
    Ok(taken.collect())
}

async fn work(context: &Context, row: Taken) {
    let found_at = row.found_at;
    match look(context, &row).await {
        Ok(true) => {
            let waited = time::OffsetDateTime::now_utc() - found_at;
            metrics::histogram!("quittance_chain_examination_seconds")
                .record(waited.as_seconds_f64());
        }
        Ok(false) => {}
        Err(error) => {
            shared::telemetry::log_failure("a signature cannot be examined now", &error);
            let later = postpone(context, &row.signature, FAILED).await;
            if let Err(error) = later {
                // It is due again once the hold is over.
                shared::telemetry::log_failure("a signature cannot be postponed", &error);
            }
        }
    }
}

/// Examines once; true when it is off this list.
async fn look(context: &Context, row: &Taken) -> Result<bool, ExamineError> {
    let attempt = usize::try_from(row.attempts - 1).unwrap_or(0);
    let examined = match examine_rooted(context, row).await? {
        Some(Examined::Recorded(_)) => return Ok(true),
        Some(examined) => examined,
        None => examine_confirmed(context, &row.signature).await?,
    };
    match examined {
        Examined::Recorded(slot) => {
            context.ripening.wait_for(slot);
            Ok(true)
        }
        Examined::Waiting | Examined::Seen | Examined::Absent => {
            let is_old = time::OffsetDateTime::now_utc() - row.found_at > NEVER_SHOWN;
            let slot = row.slot.or(is_old.then_some(0));
            match slot {
                Some(slot) if row.attempts > 1 => {
                    gone::look(context, &row.signature, slot).await?;
                    wait(context, &row.signature, attempt).await
                }
                _ => wait(context, &row.signature, attempt).await,
            }
        }
        Examined::NoEffects if attempt + 1 < ABSENT_MS.len() => {
            wait(context, &row.signature, attempt).await
        }
        Examined::NoEffects => {
            list(context, &row.signature, "no_effects", None).await?;
            wait_for_reader(context, row, attempt).await
        }
        Examined::Disputed => wait(context, &row.signature, attempt).await,
        Examined::Listed => wait_for_reader(context, row, attempt).await,
    }
}

/// Examines what the chain's root has passed as final at once: in a burst much is, before its turn comes, and one look is
/// enough then. `None` if it is to be looked at as it always is.
async fn examine_rooted(context: &Context, row: &Taken) -> Result<Option<Examined>, ExamineError> {
    let silence = Duration::from_millis(context.config.watcher.watch_silence_ms);
    let root = context.ripening.root(silence);
    let Some(slot) = row
        .slot
        .filter(|slot| root.is_some_and(|root| *slot <= root))
    else {
        return Ok(None);
    };
    let examined = examine_final(context, &row.signature, slot, Waited::Hardly).await?;
    let is_told = matches!(examined, Examined::Recorded(_) | Examined::Disputed);
    Ok(is_told.then_some(examined))
}

/// Looks again after a while, ever more rarely.
async fn wait(context: &Context, signature: &str, attempt: usize) -> Result<bool, ExamineError> {
    let pause = Duration::from_millis(ABSENT_MS[attempt.min(ABSENT_MS.len() - 1)]);
    postpone(context, signature, pause).await?;
    Ok(false)
}

/// As `wait`, for what exists and cannot be read, and so is listed: nodes and this program are updated, but not soon. It is
/// given up, and stays listed, when references are.
async fn wait_for_reader(
    context: &Context,
    row: &Taken,
    attempt: usize,
) -> Result<bool, ExamineError> {
    let age = time::OffsetDateTime::now_utc() - row.found_at;
    if age > time::Duration::days(i64::from(context.config.watcher.watch_reference_days)) {
        end(context, &row.signature).await?;
        return Ok(true);
    }
    let Some(doublings) = attempt.checked_sub(ABSENT_MS.len()) else {
        return wait(context, &row.signature, attempt).await;
    };
    let longest = Duration::from_millis(ABSENT_MS[ABSENT_MS.len() - 1]);
    let factor = 1_u32 << doublings.min(10);
    postpone(context, &row.signature, (longest * factor).min(RETRY_MAX)).await?;
    Ok(false)
}

/// Looks again later, and no longer before others: anybody can hand over signatures that do not exist.
async fn postpone(context: &Context, signature: &str, pause: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chain_signatures set next_at = now() + $2, priority = 0, taken_by = null
         where signature = $1 and taken_by = $3",
        signature,
        interval(pause),
        context.id
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}

/// Nothing more to do for it: it stays listed.
async fn end(context: &Context, signature: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chain_signatures set state = 'done', taken_by = null, accounts_known = $3
         where signature = $1 and taken_by = $2",
        signature,
        context.id,
        context.accounts_known()
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}
