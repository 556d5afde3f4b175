//! `POST /ops/v1/users/{id}/adjustments`: moves a balance by hand, once per idempotency key, never below zero.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::db::begin;
use shared::ids::TraceId;
use shared::money::AMOUNT_MAX;
use shared::settlement::{AdjustmentRefusal, adjust};

use super::action::{Action, record};
use super::path::{UserPath, unknown_user};
use crate::app::App;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;

const REASON_CHARS_MAX: usize = 500;
const KEY_CHARS_MAX: usize = 128;

/// The body.
#[derive(Deserialize)]
pub struct Adjust {
    delta_micro: i64,
    reason: String,
    idempotency_key: String,
}

/// The answer.
#[derive(Serialize)]
pub struct Adjusted {
    entry_id: i64,
    new_balance_micro: i64,
}

/// Adjusts a balance; a replay gets the first answer.
pub async fn adjust_balance(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    UserPath(user): UserPath,
    JsonBody(body): JsonBody<Adjust>,
) -> Result<Json<Adjusted>, FlatError> {
    check(&body)?;
    let Adjust {
        delta_micro,
        reason,
        idempotency_key,
    } = body;
    let mut transaction = begin(&app.pool).await?;
    let adjusted = adjust(
        &mut transaction,
        user,
        delta_micro,
        &reason,
        &idempotency_key,
        &trace,
    )
    .await?;
    let action = Action {
        name: "balance.adjust",
        target: user.to_string(),
        detail: json!({"delta_micro": delta_micro, "reason": reason, "idempotency_key": idempotency_key}),
        outcome: adjusted
            .as_ref()
            .map_or_else(|refusal| outcome(*refusal), |_| "done"),
        trace: &trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    match adjusted {
        Ok(adjustment) => {
            if let Some(publication) = adjustment.publication {
                app.publisher.publish(publication);
            }
            Ok(Json(Adjusted {
                entry_id: adjustment.entry_id,
                new_balance_micro: adjustment.new_balance_micro,
            }))
        }
        Err(AdjustmentRefusal::UserNotFound) => Err(unknown_user()),
        Err(refusal) => Err(FlatError::conflict(outcome(refusal))),
    }
}

fn check(body: &Adjust) -> Result<(), FlatError> {
    let is_text = |text: &str, chars_max| {
        !text.trim().is_empty() && text.chars().count() <= chars_max && !text.contains('\0')
    };
    if body.delta_micro == 0 || !(-AMOUNT_MAX..=AMOUNT_MAX).contains(&body.delta_micro) {
        Err(FlatError::bad_request("bad delta_micro"))
    } else if !is_text(&body.reason, REASON_CHARS_MAX) {
        Err(FlatError::bad_request("bad reason"))
    } else if !is_text(&body.idempotency_key, KEY_CHARS_MAX) {
        Err(FlatError::bad_request("bad idempotency_key"))
    } else {
        Ok(())
    }
}

fn outcome(refusal: AdjustmentRefusal) -> &'static str {
    match refusal {
        AdjustmentRefusal::UserNotFound => "user not found",
        AdjustmentRefusal::IdempotencyConflict => "idempotency_conflict",
        AdjustmentRefusal::InsufficientBalance => "insufficient_balance",
        AdjustmentRefusal::BalanceTooLarge => "balance_too_large",
    }
}
