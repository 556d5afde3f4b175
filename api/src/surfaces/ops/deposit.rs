//! What the endpoints for unattributed deposits share.

use axum::extract::FromRequestParts;
use axum::extract::Path;
use axum::http::request::Parts;
use serde::Serialize;

use super::page::bad;
use crate::app::App;
use crate::http::flat::FlatError;

const NOTE_CHARS_MAX: usize = 500;

/// The deposit that the path names, known or not.
pub struct DepositPath(pub i64);

impl FromRequestParts<App> for DepositPath {
    type Rejection = FlatError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, FlatError> {
        let path = Path::<i64>::from_request_parts(parts, app).await;
        path.map(|Path(id)| Self(id)).map_err(|_| not_found())
    }
}

/// What was done.
#[derive(Serialize)]
pub struct Resolved {
    /// Of the deposit.
    pub id: i64,
    /// How.
    pub resolution: &'static str,
}

/// The answer for a deposit that does not wait.
pub fn not_found() -> FlatError {
    FlatError::not_found("unattributed deposit not found")
}

/// A note says why, for the record.
pub fn check_note(note: &str) -> Result<(), FlatError> {
    let is_text =
        !note.trim().is_empty() && note.chars().count() <= NOTE_CHARS_MAX && !note.contains('\0');
    if is_text { Ok(()) } else { Err(bad("note")) }
}
