//! `GET /v1/balance/entries` (contract §4.11): the caller's ledger, newest first.

use axum::extract::State;
use axum::{Extension, Json};
use shared::ledger::{EntryPage, entries};

use super::query::QueryPairs;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::Session;

const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 200;

/// Lists entries older than `after_id`.
pub async fn list_entries(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    query: QueryPairs,
) -> Result<Json<EntryPage>, FlatError> {
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX);
    Ok(Json(
        entries(
            &app.pool,
            session.user_id,
            query.positive("after_id"),
            limit,
        )
        .await?,
    ))
}
