//! The `{id}` of a user's path. What is no id is no user.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use shared::ids::UserId;
use uuid::Uuid;

use crate::app::App;
use crate::http::flat::FlatError;

/// The user that the path names, known or not.
pub struct UserPath(pub UserId);

impl FromRequestParts<App> for UserPath {
    type Rejection = FlatError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, FlatError> {
        let path = Path::<Uuid>::from_request_parts(parts, app).await;
        path.map(|Path(id)| Self(UserId(id)))
            .map_err(|_| unknown_user())
    }
}

/// The answer for an unknown user.
pub fn unknown_user() -> FlatError {
    FlatError::not_found("user not found")
}
