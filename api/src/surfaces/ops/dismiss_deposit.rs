//! `POST /ops/v1/unattributed/{id}/dismiss`: takes a deposit off the list without moving money.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::TraceId;

use super::action::{Action, record};
use super::deposit::{DepositPath, Resolved, check_note, not_found};
use crate::app::App;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;

/// Why nothing is done about a deposit.
#[derive(Deserialize)]
pub struct Dismiss {
    note: String,
}

/// Takes a deposit off the list without moving money.
pub async fn dismiss(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    DepositPath(id): DepositPath,
    JsonBody(body): JsonBody<Dismiss>,
) -> Result<Json<Resolved>, FlatError> {
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
