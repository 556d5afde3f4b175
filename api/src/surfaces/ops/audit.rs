//! `GET /ops/v1/audit`: whether the books are right.

use axum::Json;
use axum::extract::State;
use shared::ledger::{Audit, audit};

use crate::app::App;
use crate::http::flat::FlatError;

/// Checks every invariant now.
pub async fn run_audit(State(app): State<App>) -> Result<Json<Audit>, FlatError> {
    Ok(Json(audit(&app.pool).await?))
}
