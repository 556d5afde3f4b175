//! `GET /v1/balance/events` (contract §5.2): the caller's balance, live.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::Session;
use crate::streams::Subject;

/// Opens the stream.
pub async fn balance_events(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Response, FlatError> {
    let opened = app
        .streams
        .open(app.clone(), &session, Subject::Balance(session.user_id))
        .await?;
    opened.ok_or_else(|| FlatError::new(StatusCode::UNAUTHORIZED, "auth required"))
}
