//! `POST /v1/billing/invoices/{id}/inapp/build` (contract §4.7): the unsigned transaction that pays an invoice.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use shared::chain::{Due, NodeError, Terms, unsigned_payment};
use shared::ids::InvoiceId;
use shared::invoices::{InvoiceStatus, standing};
use shared::telemetry::log_failure;
use solana_pubkey::Pubkey;
use time::OffsetDateTime;

use super::inapp::{inapp_invoice, is_solana};
use super::path::InvoicePath;
use crate::app::{App, Building};
use crate::deposits::DueError;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;
use crate::session::Session;

/// The body. Unknown fields are ignored.
#[derive(Deserialize)]
pub struct BuildInappTx {
    #[serde(default)]
    payer: Option<String>,
}

/// The answer.
#[derive(Serialize)]
pub struct Built {
    transaction_b64: String,
    blockhash: String,
    #[serde(with = "time::serde::rfc3339")]
    blockhash_valid_until: OffsetDateTime,
}

/// Builds it. Nothing is stored or sent; asking again builds a fresh one.
pub async fn build_inapp_tx(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    InvoicePath(id): InvoicePath,
    JsonBody(body): JsonBody<BuildInappTx>,
) -> Result<Json<Built>, FlatError> {
    let payer = payer(body.payer.as_deref().unwrap_or_default())?;
    let invoice = inapp_invoice(&app, id, session.user_id).await?;
    check_standing(&app, &invoice.id).await?;
    if !is_solana(invoice.rail) {
        return Err(FlatError::bad_request("rail_not_solana_inapp"));
    }
    if payer.to_string() == invoice.address {
        return Err(FlatError::bad_request("payer_equals_recipient"));
    }
    app.build_rate.check(session.user_id)?;
    let building = app.building.as_ref();
    let building = building.ok_or_else(|| build_failed("no node"))?;
    let due = app
        .deposits
        .due(&app.rails, &invoice)
        .await
        .map_err(without_due)?;
    if due.units == 0 {
        return Err(FlatError::conflict("payment_being_confirmed"));
    }
    Ok(Json(build(&app, building, &due, payer).await?))
}

fn payer(text: &str) -> Result<Pubkey, FlatError> {
    if text.is_empty() {
        return Err(FlatError::bad_request("payer required"));
    }
    let bad = |detail: &str| FlatError::bad_request(format!("bad payer pubkey: {detail}"));
    let mut key = [0; 32];
    let length = bs58::decode(text)
        .onto(&mut key)
        .map_err(|error| match error {
            bs58::decode::Error::BufferTooSmall => bad("more than 32 bytes"),
            _ => bad("not base58"),
        })?;
    if length != key.len() {
        return Err(bad("less than 32 bytes"));
    }
    if key == [0; 32] {
        return Err(FlatError::bad_request("payer is zero pubkey"));
    }
    Ok(Pubkey::from(key))
}

/// Ended, or past its time although nobody has ended it yet: two different answers (contract §9 C5).
async fn check_standing(app: &App, id: &InvoiceId) -> Result<(), FlatError> {
    let standing = standing(&app.pool, id).await?;
    if standing.status != InvoiceStatus::Pending {
        let status = standing.status.name();
        return Err(FlatError::new(
            StatusCode::CONFLICT,
            format!("invoice_not_pending: {status}"),
        ));
    }
    if standing.is_overdue {
        return Err(FlatError::new(StatusCode::GONE, "invoice_expired"));
    }
    Ok(())
}

async fn build(
    app: &App,
    building: &Building,
    due: &Due,
    payer: Pubkey,
) -> Result<Built, FlatError> {
    let makes_account = async {
        match due.account.token {
            None => Ok(false),
            Some(_) => Ok(!building.token_accounts.exists(&due.account.account).await?),
        }
    };
    let (fresh, makes_account) =
        tokio::try_join!(building.blockhashes.fresh(&app.clock), makes_account)
            .map_err(|error| without_node(&error))?;
    let chain = &app.config.chain;
    let terms = Terms {
        payer,
        beacon: chain.solana_beacon_key.parse().ok(),
        makes_account,
        unit_price_micro_lamports: chain.solana_unit_price_micro_lamports,
        blockhash: fresh.blockhash.hash,
    };
    let until = fresh.valid_until;
    Ok(Built {
        transaction_b64: STANDARD.encode(unsigned_payment(due, &terms)),
        blockhash: fresh.blockhash.hash.to_string(),
        blockhash_valid_until: until
            .replace_millisecond(until.millisecond())
            .unwrap_or(until),
    })
}

fn build_failed(detail: &str) -> FlatError {
    FlatError::new(StatusCode::BAD_GATEWAY, format!("build_failed: {detail}"))
}

/// A node's own words stay in the log: they may tell where it is.
fn without_node(error: &NodeError) -> FlatError {
    log_failure("a transaction cannot be built", error);
    match error {
        NodeError::Refused { code, .. } => build_failed(&format!("the node answered {code}")),
        NodeError::Unavailable(_) => build_failed("no Solana node answered"),
        NodeError::Unreadable(_) => build_failed("the node's answer cannot be read"),
    }
}

fn without_due(error: DueError) -> FlatError {
    match error {
        DueError::Deposit(shared::chain::DepositError::Database(error)) => error.into(),
        DueError::Invoice(error) => error.into(),
        error => {
            log_failure("a transaction cannot be built", &error);
            build_failed("the account to pay to is not known")
        }
    }
}
