//! `POST /ops/v1/unattributed/{id}/attribute`: gives a deposit to an invoice of the same rail.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::{InvoiceId, TraceId};
use shared::settlement::{AttributionRefusal, attribute_deposit};

use super::action::{Action, record};
use super::deposit::{DepositPath, Resolved, check_note, not_found};
use crate::app::App;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;

/// Which invoice a deposit is for. The note says why, for the record.
#[derive(Deserialize)]
pub struct Attribute {
    invoice_id: String,
    note: String,
}

/// Gives a deposit to an invoice: it settles like any payment of that invoice, also when it comes late.
pub async fn attribute(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    DepositPath(id): DepositPath,
    JsonBody(body): JsonBody<Attribute>,
) -> Result<Json<Resolved>, FlatError> {
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

fn word(refusal: AttributionRefusal) -> &'static str {
    match refusal {
        AttributionRefusal::NotFound => "unattributed deposit not found",
        AttributionRefusal::NothingToAttribute => "nothing_to_attribute",
        AttributionRefusal::InvoiceDoesNotFit => "invoice_does_not_fit",
        AttributionRefusal::InvoiceWasCredited => "invoice_was_credited",
    }
}
