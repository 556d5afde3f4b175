//! `GET /ops/v1/audit`: whether the books are right.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use shared::ledger::{Audit, audit};

use crate::app::App;
use crate::http::flat::FlatError;

/// What the answer needs of the request's time.
const MARGIN: Duration = Duration::from_secs(1);

/// Checks every invariant now, one audit at a time. A ledger too large for a request's time has the worker's command
/// and metric.
pub async fn run_audit(State(app): State<App>) -> Result<Json<Audit>, FlatError> {
    let _turn = app.audits.lock().await;
    let limit = Duration::from_millis(app.config.api.api_request_timeout_ms);
    Ok(Json(audit(&app.pool, limit.saturating_sub(MARGIN)).await?))
}
