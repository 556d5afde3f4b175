//! `POST /v1/billing/invoices` (contract §4.1): 201 with the single view; 200 for a replayed `client_request_id`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use shared::invoices::{
    BillAction, Channel, CreateError, Created, Invoice, NewInvoice, Rail, TOPUP, TTL_SECONDS_MAX,
    create, find_by_request, price, units_due,
};
use shared::prices::PriceUnavailable;

use super::invoice_view::InvoiceView;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::http::json::{JsonBody, Object};
use crate::session::Session;

const TTL_SECONDS_DEFAULT: i64 = 3600;
const TTL_SECONDS_MIN: i64 = 60;
/// Longest texts a client may store with an invoice.
const DESCRIPTION_CHARS_MAX: usize = 500;
const CLIENT_REQUEST_ID_CHARS_MAX: usize = 128;

/// The body. Unknown fields are ignored.
#[derive(Deserialize)]
pub struct CreateInvoice {
    channel: String,
    rail: String,
    bill_action: Object<BillActionBody>,
    #[serde(default)]
    amount_micro: Option<i64>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    ttl_seconds: Option<i64>,
    #[serde(default)]
    client_request_id: Option<String>,
}

#[derive(Deserialize)]
struct BillActionBody {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    plan: Option<String>,
    #[serde(default)]
    months: Option<i64>,
}

/// Creates an invoice, or answers with the one that the same request created before.
pub async fn create_invoice(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    JsonBody(body): JsonBody<CreateInvoice>,
) -> Result<(StatusCode, Json<InvoiceView>), FlatError> {
    let request = request_key(&body)?;
    let _turn = app.creations.take(session.user_id).await;
    // Before prices and rails are looked at: they may have changed since.
    if let Some(before) = replayed(&app, &session, request.as_ref()).await? {
        return Ok((
            StatusCode::OK,
            Json(InvoiceView::single(&app, before).await?),
        ));
    }
    let new = check(&app, &session, body, request)?;
    check_payable(&app, &new).await?;
    let created = create(&app.pool, new, app.config.billing.invoices_pending_max)
        .await
        .map_err(refusal)?;
    let (status, invoice) = match created {
        Created::New(invoice) => (StatusCode::CREATED, invoice),
        Created::Replayed(invoice) => (StatusCode::OK, invoice),
    };
    Ok((status, Json(InvoiceView::single(&app, invoice).await?)))
}

/// The invoice that the same request made before.
async fn replayed(
    app: &App,
    session: &Session,
    request: Option<&(String, [u8; 32])>,
) -> Result<Option<Invoice>, FlatError> {
    let Some((id, hash)) = request else {
        return Ok(None);
    };
    match find_by_request(&app.pool, session.user_id, id).await? {
        Some(before) if before.client_request_hash.as_deref() != Some(hash.as_slice()) => {
            Err(refusal(CreateError::RequestConflict))
        }
        other => Ok(other),
    }
}

/// Shape and price, without looking at the database or the chain.
fn check(
    app: &App,
    session: &Session,
    body: CreateInvoice,
    request: Option<(String, [u8; 32])>,
) -> Result<NewInvoice, FlatError> {
    let channel =
        Channel::parse(&body.channel).ok_or_else(|| FlatError::bad_request("bad channel"))?;
    let rail = Rail::parse(&body.rail).ok_or_else(|| FlatError::bad_request("bad rail"))?;
    if !rail.channels().contains(&channel) {
        return Err(FlatError::bad_request("rail_channel_mismatch"));
    }
    if !app.offers(rail) {
        return Err(FlatError::bad_request("rail_not_enabled"));
    }
    let Object(action) = &body.bill_action;
    let action = BillAction::from_parts(&action.kind, action.plan.as_deref(), action.months)
        .map_err(|error| FlatError::bad_request(error.to_string()))?;
    let amount_micro = price(&app.config.billing, action, body.amount_micro.unwrap_or(0))
        .map_err(|error| FlatError::bad_request(error.to_string()))?;
    let description = body.description.unwrap_or_default();
    check_text(&description, DESCRIPTION_CHARS_MAX, "bad description")?;
    let ttl_seconds = body.ttl_seconds.unwrap_or(TTL_SECONDS_DEFAULT);
    let ttl_seconds = u32::try_from(ttl_seconds)
        .ok()
        .filter(|_| (TTL_SECONDS_MIN..=TTL_SECONDS_MAX).contains(&ttl_seconds))
        .ok_or_else(|| FlatError::bad_request("bad ttl_seconds"))?;

    let fx_micro_per_token = app.prices.fx_micro_per_token(rail).map_err(no_price)?;
    Ok(NewInvoice {
        user_id: session.user_id,
        amount_micro,
        description,
        channel,
        rail,
        action,
        request,
        fx_micro_per_token,
        address: app.rails.deposit_address().to_owned(),
        ttl_seconds,
        wait: app.rails.expiry_wait(rail),
    })
}

/// Every accepted amount must be payable: it fits the token's integers, and the chain lets it in.
async fn check_payable(app: &App, new: &NewInvoice) -> Result<(), FlatError> {
    let due = units_due(new.rail, new.amount_micro, new.fx_micro_per_token)
        .ok_or_else(|| FlatError::bad_request("amount_too_large"))?;
    let wallet = app.wallet.as_ref().filter(|_| new.rail == Rail::SolNative);
    if let Some(wallet) = wallet {
        let takes = wallet.takes(due).await;
        // Whatever a node said, it may say something else in a moment.
        if !takes.map_err(|error| FlatError::failure(&error, true))? {
            return Err(FlatError::bad_request("amount_too_small"));
        }
    }
    Ok(())
}

/// Written into every hash, so that a later form can be told apart.
const REQUEST_HASH_VERSION: u8 = 1;

/// The idempotency key with the hash of everything else that was asked for, in one form: what is left out counts as its
/// default, what is ignored does not count.
fn request_key(body: &CreateInvoice) -> Result<Option<(String, [u8; 32])>, FlatError> {
    let Some(id) = body
        .client_request_id
        .as_deref()
        .filter(|id| !id.is_empty())
    else {
        return Ok(None);
    };
    check_text(id, CLIENT_REQUEST_ID_CHARS_MAX, "bad client_request_id")?;
    let Object(action) = &body.bill_action;
    let subscription = (action.kind != TOPUP).then_some((&action.plan, action.months));
    let asked = json!([
        REQUEST_HASH_VERSION,
        body.channel,
        body.rail,
        action.kind,
        subscription,
        body.amount_micro.unwrap_or(0),
        body.description.as_deref().unwrap_or_default(),
        body.ttl_seconds.unwrap_or(TTL_SECONDS_DEFAULT),
    ]);
    Ok(Some((
        id.to_owned(),
        Sha256::digest(asked.to_string()).into(),
    )))
}

/// Bounded, and without the one character that Postgres text cannot hold.
fn check_text(text: &str, chars_max: usize, error: &'static str) -> Result<(), FlatError> {
    if text.chars().count() > chars_max || text.contains('\0') {
        Err(FlatError::bad_request(error))
    } else {
        Ok(())
    }
}

fn no_price(error: PriceUnavailable) -> FlatError {
    FlatError::busy("fx_unavailable").retry_after(error.retry_after_seconds.into())
}

fn refusal(error: CreateError) -> FlatError {
    match error {
        CreateError::RequestConflict => FlatError::conflict("client_request_id_conflict"),
        CreateError::TooManyPending => FlatError::conflict("too_many_pending_invoices"),
        CreateError::UnknownUser => FlatError::new(StatusCode::UNAUTHORIZED, "auth required"),
        CreateError::Invoice(error) => error.into(),
    }
}
