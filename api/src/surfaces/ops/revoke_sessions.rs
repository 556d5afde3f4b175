//! `DELETE /ops/v1/users/{id}/sessions`: ends every session of a user, open streams included, within a second.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::TraceId;

use super::action::{Action, record};
use super::path::UserPath;
use crate::app::App;
use crate::http::flat::FlatError;

/// The answer.
#[derive(Serialize)]
pub struct SessionsRevoked {
    revoked: u64,
}

/// Revokes sessions; revoking none is fine.
pub async fn revoke_sessions(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    UserPath(user): UserPath,
) -> Result<Json<SessionsRevoked>, FlatError> {
    let mut transaction = begin(&app.pool).await?;
    let revoked = app.sessions.revoke(&mut transaction, user).await?;
    let action = Action {
        name: "session.revoke",
        target: user.to_string(),
        detail: json!({"revoked": revoked}),
        outcome: "done",
        trace: &trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    Ok(Json(SessionsRevoked { revoked }))
}
