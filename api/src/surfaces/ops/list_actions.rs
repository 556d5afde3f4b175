//! `GET /ops/v1/actions`: the action log, newest first.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::page::ListQuery;
use crate::app::App;
use crate::http::flat::FlatError;

/// The answer.
#[derive(Serialize)]
pub struct ActionList {
    actions: Vec<ActionView>,
    next_cursor: Option<String>,
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

/// Where an action stands in the log.
#[derive(Serialize, Deserialize)]
struct Place(#[serde(with = "time::serde::rfc3339")] OffsetDateTime, i64);

/// Lists what operators did: by `action`, `target`, `since` (included) and `until` (not).
pub async fn list_actions(
    State(app): State<App>,
    query: ListQuery,
) -> Result<Json<ActionList>, FlatError> {
    let page = query.page::<Place>("actions")?;
    let rows = sqlx::query_as!(
        ActionView,
        r#"select id as "id!", at as "at!", action as "action!", target as "target!", detail as "detail!",
                  outcome as "outcome!", trace_id as "trace_id!"
           from actions_page($1, $2, $3, $4, $5, $6, $7) with ordinality order by ordinality"#,
        query.text("action")?,
        query.text("target")?,
        query.time("since")?,
        query.time("until")?,
        page.after.as_ref().map(|place| place.0),
        page.after.as_ref().map(|place| place.1),
        page.read_limit()
    )
    .fetch_all(&app.pool)
    .await?;
    let (actions, next_cursor) = page.cut(rows, |row| Place(row.at, row.id));
    Ok(Json(ActionList {
        actions,
        next_cursor,
    }))
}
