//! `POST /ops/v1/queues/{queue}/pause` and `/resume`: workers stop taking jobs, and take them again.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::TraceId;
use shared::queue::Queue;

use super::action::{Action, record};
use crate::app::App;
use crate::http::flat::FlatError;

/// The answer.
#[derive(Serialize)]
pub struct PauseState {
    queue: Queue,
    paused: bool,
}

/// Pauses a queue. What workers hold is finished; callers get 503 `settlement_pending`.
pub async fn pause_queue(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<PauseState>, FlatError> {
    set(&app, &trace, name, true).await
}

/// Resumes a queue.
pub async fn resume_queue(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<PauseState>, FlatError> {
    set(&app, &trace, name, false).await
}

async fn set(
    app: &App,
    trace: &TraceId,
    name: Result<Path<String>, PathRejection>,
    paused: bool,
) -> Result<Json<PauseState>, FlatError> {
    let queue = name.ok().and_then(|Path(name)| Queue::parse(&name));
    let queue = queue.ok_or_else(|| FlatError::not_found("queue not found"))?;
    let mut transaction = begin(&app.pool).await?;
    if paused {
        sqlx::query!(
            "insert into paused_queues (queue) values ($1) on conflict do nothing",
            queue.name()
        )
        .execute(&mut *transaction)
        .await?;
    } else {
        sqlx::query!("delete from paused_queues where queue = $1", queue.name())
            .execute(&mut *transaction)
            .await?;
    }
    let action = Action {
        name: if paused {
            "queue.pause"
        } else {
            "queue.resume"
        },
        target: queue.to_string(),
        detail: json!({}),
        outcome: "done",
        trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    Ok(Json(PauseState { queue, paused }))
}
