//! Looks the references of single invoices up, a few per second: finds what every other way missed. The next look-up of an
//! invoice is planned once this one succeeded; one that fails is due again soon, and keeps nobody waiting.

use std::time::Duration;

use futures::StreamExt as _;
use shared::chain::{NodeError, Noted};
use shared::db::interval;
use shared::telemetry::log_failure;
use tokio::sync::Notify;

use crate::context::Context;
use crate::observe::FAILED;

const INTERVAL: Duration = Duration::from_secs(1);
/// Rows a node gives at once, and how often it is asked per reference and round: a flood of dust must not hold up others.
const PAGE: usize = 1000;
const PAGES_MAX: usize = 5;
/// Look-ups at the same time: one that hangs does not delay the others.
const AT_ONCE: usize = 4;
/// How long a look-up may take before it is repeated.
const HOLD: Duration = Duration::from_mins(1);

/// Why a round, or a look-up, failed.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// No node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Looks up until the process stops.
pub async fn sweep(context: Context) {
    if context.config.watcher.watch_references_per_second > 0 {
        let round = async |context: &Context| round(context).await.map(drop);
        context
            .every("references", INTERVAL, &Notify::new(), round)
            .await;
    }
}

/// Looks up what is due, as many as a second allows; returns how many.
pub async fn round(context: &Context) -> Result<usize, sqlx::Error> {
    let watcher = &context.config.watcher;
    let due = sqlx::query!(
        r#"select invoice_id as "invoice!", reference as "reference!" from take_references($1, $2, $3)"#,
        i32::try_from(watcher.watch_references_per_second).unwrap_or(i32::MAX),
        i32::try_from(watcher.watch_reference_days).unwrap_or(i32::MAX),
        interval(HOLD)
    )
    .fetch_all(&context.pool)
    .await?;
    let count = due.len();
    let looked_up: Vec<(String, bool)> = futures::stream::iter(due)
        .map(async |row| {
            let result = look_up(context, &row.reference).await;
            if let Err(error) = &result {
                log_failure("a reference cannot be looked up now", error);
            }
            (row.invoice, result.is_ok())
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (done, failed): (Vec<_>, Vec<_>) = looked_up.into_iter().partition(|(_, is_done)| *is_done);
    let ids = |rows: Vec<(String, bool)>| rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    sqlx::query!("select plan_references($1)", &ids(done))
        .execute(&context.pool)
        .await?;
    sqlx::query!(
        "select postpone_references($1, $2)",
        &ids(failed),
        interval(FAILED)
    )
    .execute(&context.pool)
    .await?;
    report_age(context).await?;
    Ok(count)
}

async fn look_up(context: &Context, reference: &str) -> Result<(), ReferenceError> {
    let mut before: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let page = context
            .nodes
            .history(reference, before.as_deref(), PAGE)
            .await?;
        let signatures: Vec<(String, Option<u64>)> = page
            .into_iter()
            .map(|row| (row.signature, Some(row.slot)))
            .collect();
        context.note(&signatures, Noted::Reference).await?;
        match signatures.last() {
            Some((oldest, _)) if signatures.len() >= PAGE => before = Some(oldest.clone()),
            _ => break,
        }
    }
    Ok(())
}

/// How long the look-up that waits longest has been due.
async fn report_age(context: &Context) -> Result<(), sqlx::Error> {
    let age = sqlx::query_scalar!(
        r#"select greatest(extract(epoch from now() - min(next_at)), 0)::float8 from reference_sweeps"#
    )
    .fetch_one(&context.pool)
    .await?;
    metrics::gauge!("quittance_reference_sweep_age_seconds").set(age.unwrap_or(0.0));
    Ok(())
}
