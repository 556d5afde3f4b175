//! `POST /ops/v1/users/{id}/sessions`: a console session for a user. The secrets are in this answer only.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;
use shared::db::begin;
use shared::ids::TraceId;
use time::OffsetDateTime;

use super::action::{Action, record};
use super::path::{UserPath, unknown_user};
use crate::app::App;
use crate::http::flat::FlatError;

/// The answer.
#[derive(Serialize)]
pub struct SessionCreated {
    session: String,
    csrf: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// Creates a session.
pub async fn create_session(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    UserPath(user): UserPath,
) -> Result<(StatusCode, Json<SessionCreated>), FlatError> {
    let mut transaction = begin(&app.pool).await?;
    let known = sqlx::query_scalar!("select id from users where id = $1", user.0)
        .fetch_optional(&mut *transaction)
        .await?;
    let action = |outcome| Action {
        name: "session.create",
        target: user.to_string(),
        detail: json!({}),
        outcome,
        trace: &trace,
    };
    if known.is_none() {
        record(&mut transaction, action("user not found")).await?;
        transaction.commit().await?;
        return Err(unknown_user());
    }
    let issued = app.sessions.issue(&mut transaction, user).await?;
    record(&mut transaction, action("done")).await?;
    transaction.commit().await?;
    let created = SessionCreated {
        session: issued.session.expose_secret().to_owned(),
        csrf: issued.csrf.expose_secret().to_owned(),
        expires_at: issued.expires_at,
    };
    Ok((StatusCode::CREATED, Json(created)))
}
