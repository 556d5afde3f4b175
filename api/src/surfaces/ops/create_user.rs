//! `POST /ops/v1/users`: a user with an empty balance.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::{TraceId, UserId};

use super::action::{Action, record};
use crate::app::App;
use crate::http::flat::FlatError;

/// The answer.
#[derive(Serialize)]
pub struct UserCreated {
    user_id: UserId,
}

/// Creates a user.
pub async fn create_user(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
) -> Result<(StatusCode, Json<UserCreated>), FlatError> {
    let user_id = UserId::generate();
    let mut transaction = begin(&app.pool).await?;
    sqlx::query!("insert into users (id) values ($1)", user_id.0)
        .execute(&mut *transaction)
        .await?;
    sqlx::query!("insert into balances (user_id) values ($1)", user_id.0)
        .execute(&mut *transaction)
        .await?;
    let action = Action {
        name: "user.create",
        target: user_id.to_string(),
        detail: json!({}),
        outcome: "done",
        trace: &trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(UserCreated { user_id })))
}
