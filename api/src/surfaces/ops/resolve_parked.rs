//! `POST /ops/v1/parked/{id}/retry` and `/discard`: what becomes of a job that waits for a human.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::TraceId;
use shared::queue::{EnqueueError, Queue, resolve, take_parked, with_ttl};

use super::action::{Action, record};
use crate::app::App;
use crate::http::flat::FlatError;

/// What was done.
#[derive(Serialize)]
pub struct Resolved {
    id: i64,
    resolution: &'static str,
}

/// Enqueues a parked job again.
pub async fn retry_parked(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Resolved>, FlatError> {
    settle(&app, &trace, id, "retried").await
}

/// Gives a parked job up.
pub async fn discard_parked(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Resolved>, FlatError> {
    settle(&app, &trace, id, "discarded").await
}

async fn settle(
    app: &App,
    trace: &TraceId,
    id: Result<Path<i64>, PathRejection>,
    resolution: &'static str,
) -> Result<Json<Resolved>, FlatError> {
    let not_found = || FlatError::not_found("parked job not found");
    let Path(id) = id.map_err(|_| not_found())?;
    let mut transaction = begin(&app.pool).await?;
    let job = take_parked(&mut transaction, id)
        .await?
        .ok_or_else(not_found)?;
    if resolution == "retried" {
        // Nobody waits for it: it may be as late as the operator is. Enqueued before the commit: a crash in between retries it twice, which handlers bear; never not at all.
        let queue =
            Queue::parse(&job.queue).ok_or_else(|| FlatError::conflict("queue not found"))?;
        app.producers
            .of(queue)
            .enqueue(with_ttl(&job.payload, None))
            .await
            .map_err(|error| match error {
                EnqueueError::Full => FlatError::busy("queue_full"),
                EnqueueError::Redis(error) => FlatError::failure(&error, true),
                EnqueueError::Ending => FlatError::busy("unavailable"),
            })?;
    }
    resolve(&mut transaction, id, resolution).await?;
    let action = Action {
        name: "parked.resolve",
        target: id.to_string(),
        detail: json!({"queue": job.queue, "resolution": resolution}),
        outcome: "done",
        trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    Ok(Json(Resolved { id, resolution }))
}
