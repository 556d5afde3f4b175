//! What building and submitting in-app payments share (contract §4.7, §4.8).

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use shared::ids::{InvoiceId, UserId};
use shared::invoices::{Channel, Invoice, Rail, find};

use crate::app::App;
use crate::http::flat::FlatError;

/// 503: this deployment has no in-app payments. It comes before everything else, the session included.
fn not_configured() -> FlatError {
    FlatError::new(StatusCode::SERVICE_UNAVAILABLE, "inapp not configured").retry_after(60)
}

/// Lets requests for transactions to sign in if they can be built here.
pub async fn can_build(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, FlatError> {
    let can = app.config.chain.inapp_enabled
        && app.nodes.is_some()
        && !app.rails.deposit_address().is_empty();
    if can {
        Ok(next.run(request).await)
    } else {
        Err(not_configured())
    }
}

/// Lets submissions in if in-app payments are offered here.
pub async fn can_submit(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, FlatError> {
    if app.config.chain.inapp_enabled {
        Ok(next.run(request).await)
    } else {
        Err(not_configured())
    }
}

/// The caller's own in-app invoice.
pub async fn inapp_invoice(
    app: &App,
    id: Option<InvoiceId>,
    user: UserId,
) -> Result<Invoice, FlatError> {
    let not_found = || FlatError::not_found("invoice not found");
    let invoice = find(&app.pool, &id.ok_or_else(not_found)?)
        .await?
        .filter(|invoice| invoice.user_id == user)
        .ok_or_else(not_found)?;
    if invoice.channel == Channel::CryptoInapp {
        Ok(invoice)
    } else {
        Err(FlatError::bad_request("invoice_not_inapp"))
    }
}

/// Whether in-app payments work on this rail.
pub fn is_solana(rail: Rail) -> bool {
    rail.channels().contains(&Channel::CryptoInapp)
}
