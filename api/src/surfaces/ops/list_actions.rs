//! `GET /ops/v1/actions`: the action log, newest first.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::app::App;
use crate::http::flat::FlatError;

const LIMIT: i64 = 200;

/// The answer.
#[derive(Serialize)]
pub struct ActionList {
    actions: Vec<ActionView>,
}

#[derive(Serialize)]
struct ActionView {
    id: i64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    action: String,
    target: String,
    detail: Value,
    outcome: String,
    trace_id: String,
}

/// Lists what operators did last.
pub async fn list_actions(State(app): State<App>) -> Result<Json<ActionList>, FlatError> {
    let actions = sqlx::query_as!(
        ActionView,
        "select id, at, action, target, detail, outcome, trace_id from operator_actions order by id desc limit $1",
        LIMIT
    )
    .fetch_all(&app.pool)
    .await?;
    Ok(Json(ActionList { actions }))
}
