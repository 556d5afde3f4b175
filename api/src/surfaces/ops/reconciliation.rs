//! `GET /ops/v1/reconciliation`: the books against the chain, as they were compared last.

use axum::Json;
use axum::extract::State;
use shared::ledger::{Reconciliation, reconciliation};

use crate::app::App;
use crate::http::flat::FlatError;

/// Shows each deposit account; a worker compares them (`worker/src/reconcile`).
pub async fn show_reconciliation(
    State(app): State<App>,
) -> Result<Json<Reconciliation>, FlatError> {
    Ok(Json(reconciliation(&app.pool).await?))
}
