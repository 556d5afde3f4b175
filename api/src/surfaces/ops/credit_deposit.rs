//! `POST /ops/v1/unattributed/{id}/credit`: gives a deposit, of whatever rail, to a user's balance.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::db::begin;
use shared::ids::{TraceId, UserId};
use shared::invoices::Rail;
use shared::settlement::{CreditRefusal, credit_deposit};
use sqlx::PgConnection;
use uuid::Uuid;

use super::action::{Action, record};
use super::deposit::{DepositPath, check_note, not_found};
use super::page::bad;
use super::path::unknown_user;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;

/// Whose the deposit is. The note says why, for the record.
#[derive(Deserialize)]
pub struct Credit {
    user_id: String,
    note: String,
}

/// What was done.
#[derive(Serialize)]
pub struct Credited {
    id: i64,
    resolution: &'static str,
    amount_micro: i64,
    /// Of the user's ledger; null for what is worth less than a micro-dollar.
    entry_id: Option<i64>,
    new_balance_micro: i64,
}

/// A SOL is worth what it is worth now.
pub async fn credit(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    DepositPath(id): DepositPath,
    JsonBody(body): JsonBody<Credit>,
) -> Result<Json<Credited>, FlatError> {
    check_note(&body.note)?;
    let user = body.user_id.parse::<Uuid>().map(UserId);
    let user = user.map_err(|_| bad("user_id"))?;
    let price = app.prices.fx_micro_per_token(Rail::SolNative);
    // Without a feed, no price is a price of 0.
    let sol_price_micro = price.ok().flatten().filter(|micro| *micro > 0);
    let mut transaction = begin(&app.pool).await?;
    let credited = credit_deposit(
        &mut transaction,
        id,
        user,
        &body.note,
        sol_price_micro,
        &trace,
    )
    .await?;
    let no_price = price.map_or("fx_unavailable", |_| "fx_not_configured");
    let outcome = credited
        .as_ref()
        .map_or_else(|refusal| word(*refusal, no_price), |_| "done");
    let action = Action {
        name: "unattributed.credit",
        target: id.to_string(),
        detail: json!({"user_id": user, "note": body.note}),
        outcome,
        trace: &trace,
    };
    record(&mut transaction, action).await?;
    let entry_id = match &credited {
        Ok(credit) if credit.worth_micro > 0 => Some(last_entry(&mut transaction, user).await?),
        _ => None,
    };
    transaction.commit().await?;
    let credit = credited.map_err(|refusal| match (refusal, price) {
        (CreditRefusal::NotFound, _) => not_found(),
        (CreditRefusal::UnknownUser, _) => unknown_user(),
        (CreditRefusal::PriceMissing, Err(passing)) => {
            FlatError::busy("fx_unavailable").retry_after(passing.retry_after_seconds.into())
        }
        (refusal, _) => FlatError::conflict(word(refusal, no_price)),
    })?;
    if let Some(publication) = credit.publication {
        app.publisher.publish(publication);
    }
    Ok(Json(Credited {
        id,
        resolution: "credited",
        amount_micro: credit.worth_micro,
        entry_id,
        new_balance_micro: credit.new_balance_micro,
    }))
}

/// The balance is locked by this transaction, so that its newest entry is the one just made.
async fn last_entry(connection: &mut PgConnection, user: UserId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "select last_transfer_id from balances where user_id = $1",
        user.0
    )
    .fetch_one(connection)
    .await
}

fn word(refusal: CreditRefusal, no_price: &'static str) -> &'static str {
    match refusal {
        CreditRefusal::NotFound => "unattributed deposit not found",
        CreditRefusal::NothingToAttribute => "nothing_to_attribute",
        CreditRefusal::UnknownUser => "user not found",
        CreditRefusal::PriceMissing => no_price,
        CreditRefusal::BalanceTooLarge => "balance_too_large",
    }
}
