//! `GET /ops/v1/parked`: jobs that wait for a human, or waited.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::queue::{ParkedFilter, ParkedJob, Queue, parked};

use super::page::ListQuery;
use crate::app::App;
use crate::http::flat::FlatError;

/// The list.
#[derive(Serialize)]
pub struct ParkedList {
    parked: Vec<ParkedJob>,
    next_cursor: Option<String>,
}

/// Lists parked jobs: by `state` and `queue`, in this `order`.
pub async fn list_parked(
    State(app): State<App>,
    query: ListQuery,
) -> Result<Json<ParkedList>, FlatError> {
    let order = query.choice("order", &["newest", "oldest"])?;
    let page = query.page::<i64>(match order {
        "oldest" => "parked/oldest",
        _ => "parked/newest",
    })?;
    let filter = ParkedFilter {
        state: query.choice("state", &["open", "resolved", "all"])?,
        order,
        queue: query.parsed("queue", Queue::parse)?,
        after: page.after,
        limit: page.read_limit(),
    };
    let (parked, next_cursor) = page.cut(parked(&app.pool, filter).await?, |job| job.id);
    Ok(Json(ParkedList {
        parked,
        next_cursor,
    }))
}
