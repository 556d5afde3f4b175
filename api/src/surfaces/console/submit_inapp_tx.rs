//! `POST /v1/billing/invoices/{id}/inapp/submit` (contract §4.8): a wallet hands over what it signed, or says what it
//! broadcast. Nothing here pays an invoice: that is read from the chain.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use shared::chain::{
    Admitted, Rejection, RelayOutcome, Stored, SubmissionError, SubmissionLimits, Submitted, admit,
    is_submitted, note_submission, signature_of, store_submission,
};
use shared::ids::TraceId;
use shared::invoices::{Invoice, InvoiceStatus, names_other_invoice, standing};

use super::inapp::{inapp_invoice, is_solana};
use super::path::InvoicePath;
use crate::app::App;
use crate::deposits::DueError;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;
use crate::session::Session;

const SIGNATURE_BYTES: usize = 64;

/// The body. Unknown fields are ignored, and so is a signature beside a transaction.
#[derive(Deserialize)]
pub struct SubmitInappTx {
    #[serde(default)]
    signed_b64: Option<String>,
    #[serde(default)]
    signature: Option<String>,
}

/// The answer.
#[derive(Serialize)]
pub struct Acknowledged {
    signature: String,
    submitted: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already_processed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

impl Acknowledged {
    fn new(signature: String, submitted: bool) -> Json<Self> {
        Json(Self {
            signature,
            submitted,
            already_processed: false,
            status: None,
        })
    }

    fn already(signature: String, status: InvoiceStatus) -> Json<Self> {
        Json(Self {
            signature,
            submitted: false,
            already_processed: true,
            status: Some(status.name()),
        })
    }
}

/// What was handed over.
enum Handed {
    Transaction(String),
    Signature(String),
}

/// Relays a transaction, or notes a signature.
pub async fn submit_inapp_tx(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Extension(trace): Extension<TraceId>,
    InvoicePath(id): InvoicePath,
    body: Result<JsonBody<SubmitInappTx>, FlatError>,
) -> Result<Json<Acknowledged>, FlatError> {
    // This endpoint's contract has the bare text (contract §9 C8).
    let JsonBody(body) = body.map_err(FlatError::without_detail)?;
    let handed = handed(body)?;
    let invoice = inapp_invoice(&app, id, session.user_id).await?;
    if invoice.status != InvoiceStatus::Pending {
        let signature = match handed {
            Handed::Signature(signature) => signature,
            // Nothing will be done with it: whatever it is, it is no error.
            Handed::Transaction(signed) => {
                signature_of(&signed).map_or_else(String::new, |signature| signature.to_string())
            }
        };
        return Ok(Acknowledged::already(signature, invoice.status));
    }
    app.submission_rate.check(session.user_id)?;
    match handed {
        Handed::Signature(signature) => note(&app, &invoice, signature).await,
        Handed::Transaction(signed) => {
            if app.nodes.is_none() {
                return Err(no_rpc());
            }
            let admitted = check(&app, &invoice, &signed).await?;
            relay(&app, &invoice, &admitted, &trace).await
        }
    }
}

fn handed(body: SubmitInappTx) -> Result<Handed, FlatError> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (given(body.signed_b64), given(body.signature)) {
        (Some(signed), _) => Ok(Handed::Transaction(signed)),
        (None, Some(signature)) => {
            let mut bytes = [0; SIGNATURE_BYTES];
            match bs58::decode(&signature).onto(&mut bytes) {
                Ok(SIGNATURE_BYTES) => Ok(Handed::Signature(signature)),
                _ => Err(FlatError::bad_request("bad signature")),
            }
        }
        (None, None) => Err(FlatError::bad_request("signature or signed_b64 required")),
    }
}

fn no_rpc() -> FlatError {
    FlatError::new(StatusCode::SERVICE_UNAVAILABLE, "rpc not configured").retry_after(60)
}

fn rejected(rejection: Rejection) -> FlatError {
    metrics::counter!("quittance_submissions_rejected_total", "reason" => rejection.to_string())
        .increment(1);
    FlatError::bad_request(format!("tx_rejected: {rejection}"))
}

/// It passes: within the hour.
fn too_many(wait_seconds: u32) -> FlatError {
    FlatError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_submissions").retry_after(wait_seconds)
}

fn limits(app: &App) -> SubmissionLimits {
    SubmissionLimits {
        attempts_max: app.config.chain.relay_attempts_max,
        hourly_max: app.config.chain.submissions_per_invoice_per_hour,
    }
}

async fn note(
    app: &App,
    invoice: &Invoice,
    signature: String,
) -> Result<Json<Acknowledged>, FlatError> {
    let _turn = app.submissions.take(invoice.user_id).await;
    match note_submission(&app.pool, &invoice.id, &signature, limits(app)).await? {
        Submitted::Noted => Ok(Acknowledged::new(signature, false)),
        Submitted::NotPending(status) => Ok(Acknowledged::already(signature, status)),
        Submitted::TooMany { wait_seconds } => Err(too_many(wait_seconds)),
    }
}

/// Everything about a transaction that can be known without sending it.
async fn check(app: &App, invoice: &Invoice, signed: &str) -> Result<Admitted, FlatError> {
    if !is_solana(invoice.rail) {
        return Err(rejected(Rejection::OtherRail));
    }
    // What was taken before is answered as before, whatever it has led to since. Asked only once there is something
    // against it: that may have come of the same transaction, handed over at the same time.
    let is_known = async || match signature_of(signed) {
        Some(signature) => is_submitted(&app.pool, &invoice.id, &signature.to_string()).await,
        None => Ok(false),
    };
    // What landed now would be late. The invoice waits only for what has landed.
    if standing(&app.pool, &invoice.id).await?.is_overdue && !is_known().await? {
        return Err(rejected(Rejection::TimeOver));
    }
    let due = app
        .deposits
        .due(&app.rails, invoice)
        .await
        .map_err(without_due)?;
    let admitted = admit(signed, &due).map_err(rejected)?;
    if due.units == 0 && !is_known().await? {
        return Err(rejected(Rejection::BeingConfirmed));
    }
    let keys: Vec<String> = admitted.keys.iter().map(ToString::to_string).collect();
    if names_other_invoice(&app.pool, &invoice.id, &keys).await? {
        return Err(rejected(Rejection::OtherReference));
    }
    Ok(admitted)
}

fn without_due(error: DueError) -> FlatError {
    match error {
        DueError::Deposit(error) => FlatError::failure(&error, error.is_transient()),
        DueError::Invoice(error) => error.into(),
        DueError::Unpayable => FlatError::failure(&error, false),
    }
}

async fn relay(
    app: &App,
    invoice: &Invoice,
    admitted: &Admitted,
    trace: &TraceId,
) -> Result<Json<Acknowledged>, FlatError> {
    let signature = admitted.signature.to_string();
    let turn = app.submissions.take(invoice.user_id).await;
    let stored = store_submission(&app.pool, &invoice.id, admitted, limits(app)).await?;
    drop(turn);
    let outcome = match stored {
        Stored::Decided(outcome) => outcome,
        Stored::Waiting => {
            let known = app.relay.relay(signature.clone(), trace).await;
            let known = known.map_err(|error| FlatError::failure(&error, false))?;
            // It is stored, and will be broadcast: asking again finds out what became of it.
            known.ok_or_else(|| FlatError::busy("settlement_pending"))?
        }
        Stored::NotPending(status) => return Ok(Acknowledged::already(signature, status)),
        Stored::AnotherUnderWay => return Err(rejected(Rejection::AnotherUnderWay)),
        Stored::BeingConfirmed => return Err(rejected(Rejection::BeingConfirmed)),
        Stored::OtherInvoice => return Err(rejected(Rejection::OtherInvoice)),
        Stored::Exhausted => return Err(FlatError::conflict("submissions_exhausted")),
        Stored::TooMany { wait_seconds } => return Err(too_many(wait_seconds)),
    };
    tracing::info!(invoice_id = %invoice.id, signature, ?outcome, "submission relayed");
    match outcome {
        // Unknown: no node has answered yet. The workers go on sending it until it lands or cannot any more.
        RelayOutcome::Accepted | RelayOutcome::Unknown => Ok(Acknowledged::new(signature, true)),
        RelayOutcome::Refused(failure) => {
            Err(FlatError::new(StatusCode::BAD_GATEWAY, "submit_failed").because(failure.name()))
        }
    }
}

impl From<SubmissionError> for FlatError {
    fn from(error: SubmissionError) -> Self {
        Self::failure(&error, error.is_transient())
    }
}
