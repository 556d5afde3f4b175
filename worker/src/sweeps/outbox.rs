//! Publishes events whose process died between commit and publishing, or could not reach Redis.

use std::time::Duration;

use shared::db::interval;
use shared::events::{Publication, publish};

use super::{SweepContext, SweepError};

/// Batches published in one go at most: some thousand events. More of them may take Redis longer than it is given.
const BATCH: i32 = 16;

pub(super) async fn sweep(context: &mut SweepContext) -> Result<(), SweepError> {
    let age_ms = context.config.sweep.sweep_outbox_age_ms;
    let age = interval(Duration::from_millis(age_ms));
    loop {
        let rows = sqlx::query!(
            r#"select batch_id as "batch_id!", topics as "topics!", messages as "messages!"
               from unpublished_events($1, $2)"#,
            age,
            BATCH
        )
        .fetch_all(&context.pool)
        .await?;
        let publications: Vec<Publication> = rows
            .into_iter()
            .map(|row| Publication {
                batch_id: row.batch_id,
                events: row.topics.into_iter().zip(row.messages).collect(),
            })
            .collect();
        if publications.is_empty() {
            return Ok(());
        }
        publish(
            &mut context.redis,
            &context.config.redis.redis_prefix,
            &context.pool,
            &publications,
        )
        .await?;
        tracing::info!(batches = publications.len(), "late events published");
        metrics::counter!("quittance_late_publications_total").increment(publications.len() as u64);
    }
}
