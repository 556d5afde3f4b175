//! Looks the references of single invoices up, a few per second: finds what every other way missed.

use std::time::Duration;

use shared::chain::{NodeError, Noted};
use tokio::sync::Notify;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(1);
/// Rows a node gives at once, and how often it is asked per reference and round: a flood of dust must not hold up others.
const PAGE: usize = 1000;
const PAGES_MAX: usize = 5;

/// Why a round ended early.
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
        let round = async |context: &Context| round(context).await;
        context
            .every("references", INTERVAL, &Notify::new(), round)
            .await;
    }
}

/// Looks up what is due now.
pub async fn round(context: &Context) -> Result<(), ReferenceError> {
    let watcher = &context.config.watcher;
    let due = sqlx::query!(
        r#"select reference as "reference!" from take_references($1, $2)"#,
        i32::try_from(watcher.watch_references_per_second).unwrap_or(i32::MAX),
        i32::try_from(watcher.watch_reference_days).unwrap_or(i32::MAX)
    )
    .fetch_all(&context.pool)
    .await?;
    for row in due {
        look_up(context, &row.reference).await?;
    }
    Ok(())
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
