//! `GET /ops/v1/unattributed`, `POST /ops/v1/unattributed/{id}/attribute` and `/dismiss`: money on chain that nobody was
//! credited with, and transactions that could not be judged.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::db::begin;
use shared::ids::{InvoiceId, TraceId};
use shared::settlement::{AttributionRefusal, attribute_deposit};
use time::OffsetDateTime;

use super::action::{Action, record};
use crate::app::App;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;

const LIMIT: i64 = 200;
const NOTE_CHARS_MAX: usize = 500;

/// The list.
#[derive(Serialize)]
pub struct UnattributedList {
    unattributed: Vec<UnattributedView>,
}

#[derive(Serialize)]
struct UnattributedView {
    id: i64,
    signature: String,
    /// Null when the transaction could not be read.
    account: Option<String>,
    rail: Option<String>,
    units: Option<i64>,
    reason: String,
    /// The invoice it may belong to.
    invoice_id: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    found_at: OffsetDateTime,
}

/// What to do with a deposit. The note says why, for the record.
#[derive(Deserialize)]
pub struct Attribute {
    invoice_id: String,
    note: String,
}

/// Why nothing is done about a deposit.
#[derive(Deserialize)]
pub struct Dismiss {
    note: String,
}

/// What was done.
#[derive(Serialize)]
pub struct Resolved {
    id: i64,
    resolution: &'static str,
}

/// Lists what waits, oldest first.
pub async fn list_unattributed(
    State(app): State<App>,
) -> Result<Json<UnattributedList>, FlatError> {
    let unattributed = sqlx::query_as!(
        UnattributedView,
        r#"select u.id, u.signature, u.account, d.rail as "rail?", u.units::bigint as units, u.reason, u.invoice_id, u.found_at
           from unattributed_deposits u left join deposit_accounts d on d.account = u.account
           where u.resolved_at is null order by u.id limit $1"#,
        LIMIT
    )
    .fetch_all(&app.pool)
    .await?;
    Ok(Json(UnattributedList { unattributed }))
}

/// Gives a deposit to an invoice: it settles like any payment of that invoice, also when it comes late.
pub async fn attribute(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    id: Result<Path<i64>, PathRejection>,
    JsonBody(body): JsonBody<Attribute>,
) -> Result<Json<Resolved>, FlatError> {
    let Path(id) = id.map_err(|_| not_found())?;
    check_note(&body.note)?;
    let invoice = InvoiceId::parse(&body.invoice_id)
        .ok_or_else(|| FlatError::bad_request("bad invoice_id"))?;
    let mut transaction = begin(&app.pool).await?;
    let price = app.prices.sol_micro();
    let attributed =
        attribute_deposit(&mut transaction, id, &invoice, &body.note, price, &trace).await?;
    let outcome = attributed
        .as_ref()
        .map_or_else(|refusal| word(*refusal), |_| "done");
    let action = Action {
        name: "unattributed.attribute",
        target: id.to_string(),
        detail: json!({"invoice_id": invoice, "note": body.note}),
        outcome,
        trace: &trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    match attributed {
        Ok(publication) => {
            if let Some(publication) = publication {
                app.publisher.publish(publication);
            }
            Ok(Json(Resolved {
                id,
                resolution: "attributed",
            }))
        }
        Err(AttributionRefusal::NotFound) => Err(not_found()),
        Err(refusal) => Err(FlatError::conflict(word(refusal))),
    }
}

/// Takes a deposit off the list without moving money.
pub async fn dismiss(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    id: Result<Path<i64>, PathRejection>,
    JsonBody(body): JsonBody<Dismiss>,
) -> Result<Json<Resolved>, FlatError> {
    let Path(id) = id.map_err(|_| not_found())?;
    check_note(&body.note)?;
    let mut transaction = begin(&app.pool).await?;
    let dismissed = sqlx::query!(
        "update unattributed_deposits set resolved_at = now(), resolution = 'dismissed', note = $2
         where id = $1 and resolved_at is null",
        id,
        body.note
    )
    .execute(&mut *transaction)
    .await?;
    if dismissed.rows_affected() == 0 {
        return Err(not_found());
    }
    let action = Action {
        name: "unattributed.dismiss",
        target: id.to_string(),
        detail: json!({"note": body.note}),
        outcome: "done",
        trace: &trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    Ok(Json(Resolved {
        id,
        resolution: "dismissed",
    }))
}

fn not_found() -> FlatError {
    FlatError::not_found("unattributed deposit not found")
}

fn check_note(note: &str) -> Result<(), FlatError> {
    let is_text =
        !note.trim().is_empty() && note.chars().count() <= NOTE_CHARS_MAX && !note.contains('\0');
    if is_text {
        Ok(())
    } else {
        Err(FlatError::bad_request("bad note"))
    }
}

fn word(refusal: AttributionRefusal) -> &'static str {
    match refusal {
        AttributionRefusal::NotFound => "unattributed deposit not found",
        AttributionRefusal::NothingToAttribute => "nothing_to_attribute",
        AttributionRefusal::InvoiceDoesNotFit => "invoice_does_not_fit",
        AttributionRefusal::InvoiceWasCredited => "invoice_was_credited",
    }
}
