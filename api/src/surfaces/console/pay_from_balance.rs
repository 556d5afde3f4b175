//! `POST /v1/billing/invoices/{id}/pay-from-balance` (contract §4.6). Replays answer like the first call.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use shared::ids::{InvoiceId, TraceId};
use shared::settlement::PayOutcome;

use super::path::InvoicePath;
use crate::app::App;
use crate::commands::pay_from_balance::{PayAnswer, PayError};
use crate::http::flat::FlatError;
use crate::session::Session;

/// The answer to a settled invoice.
#[derive(Serialize)]
pub struct Paid {
    invoice_id: InvoiceId,
    status: &'static str,
    new_balance_micro: i64,
}

/// Settles the invoice from the caller's balance.
pub async fn pay_from_balance(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Extension(trace): Extension<TraceId>,
    InvoicePath(id): InvoicePath,
) -> Result<Json<Paid>, FlatError> {
    let invoice_id = id.ok_or_else(|| FlatError::not_found("invoice not found"))?;
    let answer = app
        .pay
        .pay(&invoice_id, session.user_id, &trace)
        .await
        .map_err(failure)?;
    let outcome = match answer {
        PayAnswer::Decided(outcome) => outcome,
        PayAnswer::StillSettling => return Err(FlatError::busy("settlement_pending")),
        PayAnswer::QueueFull => return Err(FlatError::busy("queue_full")),
    };
    match outcome {
        PayOutcome::Paid { new_balance_micro } => Ok(Json(Paid {
            invoice_id,
            status: "paid",
            new_balance_micro,
        })),
        PayOutcome::InvoiceNotFound => Err(FlatError::not_found("invoice not found")),
        PayOutcome::NotOwner => Err(FlatError::conflict("not_owner")),
        PayOutcome::InvoiceNotPending => Err(FlatError::conflict("invoice_not_pending")),
        PayOutcome::InvoiceIsTopup => Err(FlatError::conflict("invoice_is_topup")),
        PayOutcome::BalanceLocked => Err(FlatError::conflict("balance_locked")),
        PayOutcome::InsufficientBalance => Err(FlatError::conflict("insufficient_balance")),
        // An operator may still settle it: until then the truth is "not yet".
        PayOutcome::Parked => Err(FlatError::busy("settlement_pending")),
        PayOutcome::AlreadyDebited => Err(FlatError::conflict("already_debited")),
    }
}

/// Without an outcome the payment may still happen: whatever failed, the caller is told to ask again.
fn failure(error: PayError) -> FlatError {
    match error {
        PayError::Invoice(error) => {
            shared::telemetry::log_failure("a payment's outcome could not be read", &error);
            FlatError::busy("settlement_pending")
        }
        PayError::Ledger(error) => {
            shared::telemetry::log_failure("a payment's outcome could not be read", &error);
            FlatError::busy("settlement_pending")
        }
        PayError::Envelope(error) => FlatError::failure(&error, false),
    }
}
