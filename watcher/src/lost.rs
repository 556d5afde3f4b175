//! Asks again for what was given up, ever more rarely, for days: all nodes may have been wrong. What one of them knows after
//! all is examined like news.

use std::time::Duration;

use shared::chain::{NodeError, Sight};
use shared::db::interval;
use tokio::sync::Notify;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(1);
/// Signatures asked for at once; nodes take no more.
const BATCH: usize = 256;
/// How long a round may take before it is repeated.
const HOLD: Duration = Duration::from_secs(20);
/// The first pause; each is twice the one before.
const RETRY_MIN: Duration = Duration::from_secs(10);
/// The longest pause.
pub const RETRY_MAX: Duration = Duration::from_hours(6);
/// The pause when no node answers.
const UNHEARD: Duration = Duration::from_secs(5);

struct Dropped {
    signature: String,
    attempts: i32,
    found_at: time::OffsetDateTime,
}

/// Why a round failed; the next one comes in time.
#[derive(Debug, thiserror::Error)]
pub enum LostError {
    /// No node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Asks until the process stops.
pub async fn sweep(context: Context) {
    let work = async |context: &Context| {
        while round(context).await? >= BATCH && !context.shutdown.is_stopping() {}
        Ok::<(), LostError>(())
    };
    context.every("lost", INTERVAL, &Notify::new(), work).await;
}

/// Asks for what is due; returns how many.
pub async fn round(context: &Context) -> Result<usize, LostError> {
    let dropped = take(context).await?;
    if dropped.is_empty() {
        return Ok(0);
    }
    let signatures: Vec<String> = dropped.iter().map(|row| row.signature.clone()).collect();
    let asked = context.nodes.ask_all(|node| node.standings(&signatures));
    let answers = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            postpone(context, &signatures, UNHEARD).await?;
            return Err(error.into());
        }
    };
    for (place, row) in dropped.iter().enumerate() {
        let is_known = |standings: &Vec<_>| {
            standings
                .get(place)
                .is_some_and(|standing: &shared::chain::Standing| standing.sight != Sight::Unknown)
        };
        if answers.iter().any(is_known) {
            bring_back(context, &row.signature).await?;
        } else {
            plan(context, row).await?;
        }
    }
    Ok(dropped.len())
}

async fn take(context: &Context) -> Result<Vec<Dropped>, sqlx::Error> {
    sqlx::query_as!(
        Dropped,
        r#"select signature as "signature!", attempts as "attempts!", found_at as "found_at!" from take_dropped($1, $2)"#,
        i32::try_from(BATCH).unwrap_or(i32::MAX),
        interval(HOLD)
    )
    .fetch_all(&context.pool)
    .await
}

/// Gives a signature up for now.
pub async fn drop_signature(context: &Context, signature: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chain_signatures
         set state = 'dropped', note = null, taken_by = null, attempts = 0, absences = 0, absent_since = null,
             next_at = now() + $3
         where signature = $1 and taken_by = $2",
        signature,
        context.id,
        interval(RETRY_MIN)
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}

async fn bring_back(context: &Context, signature: &str) -> Result<(), sqlx::Error> {
    let back = sqlx::query!(
        "update chain_signatures set state = 'found', attempts = 0, next_at = now()
         where signature = $1 and state = 'dropped'",
        signature
    )
    .execute(&context.pool)
    .await?;
    if back.rows_affected() > 0 {
        tracing::warn!(
            signature,
            "a transaction that was given up is there after all"
        );
        metrics::counter!("quittance_chain_returns_total").increment(1);
        context.found.notify_one();
    }
    Ok(())
}

async fn plan(context: &Context, row: &Dropped) -> Result<(), sqlx::Error> {
    let age = time::OffsetDateTime::now_utc() - row.found_at;
    let is_over =
        age > time::Duration::days(i64::from(context.config.watcher.watch_reference_days));
    let doublings = u32::try_from(row.attempts).unwrap_or(0).min(16);
    let pause = (RETRY_MIN * (1 << doublings)).min(RETRY_MAX);
    sqlx::query!(
        "update chain_signatures set next_at = case when $2 then 'infinity' else now() + $3::interval end
         where signature = $1 and state = 'dropped'",
        row.signature,
        is_over,
        interval(pause)
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}

async fn postpone(
    context: &Context,
    signatures: &[String],
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chain_signatures set next_at = now() + $2, attempts = greatest(attempts - 1, 0)
         where signature = any($1) and state = 'dropped'",
        signatures,
        interval(pause)
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}
