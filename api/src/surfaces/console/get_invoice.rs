//! `GET /v1/billing/invoices/{id}` (contract §4.3). Unknown and not yours are one answer.

use axum::extract::State;
use axum::{Extension, Json};
use shared::invoices::find;

use super::invoice_view::InvoiceView;
use super::path::InvoicePath;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::Session;

/// Shows one invoice.
pub async fn get_invoice(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    InvoicePath(id): InvoicePath,
) -> Result<Json<InvoiceView>, FlatError> {
    let not_found = || FlatError::not_found("not found");
    let invoice = find(&app.pool, &id.ok_or_else(not_found)?).await?;
    let invoice = invoice
        .filter(|invoice| invoice.user_id == session.user_id)
        .ok_or_else(not_found)?;
    Ok(Json(InvoiceView::single(&app, invoice).await?))
}
