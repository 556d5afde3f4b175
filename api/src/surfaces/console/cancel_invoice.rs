//! `POST /v1/billing/invoices/{id}/cancel` (contract §4.4): 204 once; everything else is one 404.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use shared::ids::TraceId;
use shared::settlement::cancel;

use super::path::InvoicePath;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::Session;

/// Cancels a pending invoice of the caller.
pub async fn cancel_invoice(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Extension(trace): Extension<TraceId>,
    InvoicePath(id): InvoicePath,
) -> Result<StatusCode, FlatError> {
    let not_found = || FlatError::not_found("not found or not pending");
    let cancelled = cancel(
        &app.pool,
        &id.ok_or_else(not_found)?,
        session.user_id,
        &trace,
    )
    .await?;
    app.publisher.publish(cancelled.ok_or_else(not_found)?);
    Ok(StatusCode::NO_CONTENT)
}
