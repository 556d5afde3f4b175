//! `GET /v1/billing/invoices/{id}/events` (contract §5.1): the owner's live view of one invoice.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::path::InvoicePath;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::Session;
use crate::streams::Subject;

/// Opens the stream; it closes after the invoice's end.
pub async fn invoice_events(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    InvoicePath(id): InvoicePath,
) -> Result<Response, FlatError> {
    let not_found = || FlatError::not_found("not found");
    let subject = Subject::Invoice(id.ok_or_else(not_found)?, session.user_id);
    app.streams
        .open(app.clone(), &session, subject)
        .await?
        .ok_or_else(not_found)
}
