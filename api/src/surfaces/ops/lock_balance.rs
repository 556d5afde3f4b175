//! `POST /ops/v1/users/{id}/lock` and `/unlock`: freezes a balance against payments, and frees it.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::{TraceId, UserId};
use shared::settlement::set_lock;

use super::action::{Action, record};
use super::path::{UserPath, unknown_user};
use crate::app::App;
use crate::http::flat::FlatError;

/// The answer; `locked_at` in Unix seconds while locked.
#[derive(Serialize)]
pub struct LockState {
    user_id: UserId,
    locked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_at: Option<i64>,
}

/// Locks; locking twice keeps the first time.
pub async fn lock_balance(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    UserPath(user): UserPath,
) -> Result<Json<LockState>, FlatError> {
    set(&app, &trace, user, true).await
}

/// Unlocks.
pub async fn unlock_balance(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    UserPath(user): UserPath,
) -> Result<Json<LockState>, FlatError> {
    set(&app, &trace, user, false).await
}

async fn set(
    app: &App,
    trace: &TraceId,
    user: UserId,
    locked: bool,
) -> Result<Json<LockState>, FlatError> {
    let mut transaction = begin(&app.pool).await?;
    let found = set_lock(&mut transaction, user, locked).await?;
    let action = Action {
        name: if locked {
            "balance.lock"
        } else {
            "balance.unlock"
        },
        target: user.to_string(),
        detail: json!({}),
        outcome: if found.is_some() {
            "done"
        } else {
            "user not found"
        },
        trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    let since = found.ok_or_else(unknown_user)?;
    Ok(Json(LockState {
        user_id: user,
        locked: since.is_some(),
        locked_at: since.map(time::OffsetDateTime::unix_timestamp),
    }))
}
