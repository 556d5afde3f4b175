//! `GET /v1/balance` (contract §4.10).

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use shared::ledger::{BalanceSnapshot, balance};
use shared::telemetry::log_failure;

use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::Session;

/// Shows the caller's balance. Unlike its siblings this endpoint documents its 500.
pub async fn get_balance(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Json<BalanceSnapshot>, FlatError> {
    match balance(&app.pool, session.user_id).await {
        Ok(Some(snapshot)) => Ok(Json(snapshot)),
        Ok(None) => Err(FlatError::new(StatusCode::UNAUTHORIZED, "auth required")),
        Err(error) => {
            log_failure("a request failed", &error);
            Err(FlatError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal: {error}"),
            ))
        }
    }
}
