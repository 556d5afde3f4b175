//! Jobs that need a human: kept in Postgres until an operator retries or discards them.

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;

use super::{Delivery, Queue};

/// Why parked jobs could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ParkingError {
    /// The database refused or failed.
    #[error("the parked jobs cannot be reached")]
    Database(#[from] sqlx::Error),
}

/// A job off its queue.
#[derive(Debug, Clone, Serialize)]
pub struct ParkedJob {
    /// Its number.
    pub id: i64,
    /// The queue it came from.
    pub queue: String,
    /// What it carried, as it was.
    pub payload: String,
    /// Why it was parked.
    pub reason: String,
    /// How often it had been delivered.
    pub deliveries: i64,
    /// When it was parked.
    #[serde(with = "time::serde::rfc3339")]
    pub parked_at: OffsetDateTime,
    /// When an operator decided.
    #[serde(with = "time::serde::rfc3339::option")]
    pub resolved_at: Option<OffsetDateTime>,
    /// What: `retried` or `discarded`.
    pub resolution: Option<String>,
}

/// Which parked jobs to list.
#[derive(Debug, Clone, Copy)]
pub struct ParkedFilter {
    /// `open`, `resolved` or `all`.
    pub state: &'static str,
    /// `newest` or `oldest` first.
    pub order: &'static str,
    /// Those of one queue.
    pub queue: Option<Queue>,
    /// The number of the job after which the list goes on.
    pub after: Option<i64>,
    /// How many at most.
    pub limit: i32,
}

/// Parks a delivery; parking the same entry twice keeps the first record. Written before the entry is acknowledged.
pub async fn park(
    pool: &PgPool,
    queue: Queue,
    delivery: &Delivery,
    reason: &str,
) -> Result<(), ParkingError> {
    // Postgres text holds no NUL; a payload from a stranger might.
    let payload = delivery.payload.replace('\0', "\u{fffd}");
    sqlx::query!(
        "insert into parked_jobs (queue, entry_id, payload, reason, deliveries) values ($1, $2, $3, $4, $5)
         on conflict (queue, entry_id) do nothing",
        queue.name(),
        delivery.entry_id,
        payload,
        reason,
        i64::try_from(delivery.deliveries).unwrap_or(i64::MAX),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A page of parked jobs.
pub async fn parked(pool: &PgPool, filter: ParkedFilter) -> Result<Vec<ParkedJob>, ParkingError> {
    Ok(sqlx::query_as!(
        ParkedJob,
        r#"select id as "id!", queue as "queue!", payload as "payload!", reason as "reason!",
                  deliveries as "deliveries!", parked_at as "parked_at!", resolved_at, resolution
           from parked_page($1, $2, $3, $4, $5) with ordinality order by ordinality"#,
        filter.state,
        filter.order,
        filter.queue.map(Queue::name),
        filter.after,
        filter.limit
    )
    .fetch_all(pool)
    .await?)
}

/// The parked job of this number, unless it was resolved; locks it until `connection`'s transaction ends.
pub async fn take_parked(
    connection: &mut sqlx::PgConnection,
    id: i64,
) -> Result<Option<ParkedJob>, ParkingError> {
    Ok(sqlx::query_as!(
        ParkedJob,
        "select id, queue, payload, reason, deliveries, parked_at, resolved_at, resolution from parked_jobs
         where id = $1 and resolved_at is null for update",
        id
    )
    .fetch_optional(connection)
    .await?)
}

/// Records what an operator did with a parked job: `retried` or `discarded`.
pub async fn resolve(
    connection: &mut sqlx::PgConnection,
    id: i64,
    resolution: &str,
) -> Result<(), ParkingError> {
    sqlx::query!(
        "update parked_jobs set resolved_at = now(), resolution = $2 where id = $1 and resolved_at is null",
        id,
        resolution
    )
    .execute(connection)
    .await?;
    Ok(())
}
