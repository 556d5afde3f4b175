//! `GET /ops/v1/queues`: depth, in flight, oldest age and rates per queue, and what is paused or parked.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::queue::{QUEUES, QueueStatistics, statistics};

use crate::app::App;
use crate::http::flat::FlatError;

/// The answer.
#[derive(Serialize)]
pub struct QueueList {
    queues: Vec<QueueView>,
}

#[derive(Serialize)]
struct QueueView {
    queue: &'static str,
    #[serde(flatten)]
    statistics: QueueStatistics,
    parked: i64,
    paused: bool,
}

/// Lists the queues.
pub async fn list_queues(State(app): State<App>) -> Result<Json<QueueList>, FlatError> {
    let mut redis = app.redis.clone();
    let mut queues = Vec::new();
    for queue in QUEUES {
        let statistics = statistics(&mut redis, &app.config.redis.redis_prefix, queue)
            .await
            .map_err(|error| FlatError::failure(&error, true))?;
        let row = sqlx::query!(
            r#"select (select count(*) from parked_jobs where queue = $1 and resolved_at is null) as "parked!",
                      exists (select from paused_queues where queue = $1) as "paused!""#,
            queue.name()
        )
        .fetch_one(&app.pool)
        .await?;
        queues.push(QueueView {
            queue: queue.name(),
            statistics,
            parked: row.parked,
            paused: row.paused,
        });
    }
    Ok(Json(QueueList { queues }))
}
