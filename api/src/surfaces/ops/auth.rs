//! The operator token, compared in constant time.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::hash;

/// Lets operators through. Hashes are compared, so that not even the length shows in the time.
pub async fn authorize(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, FlatError> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let ours = hash(app.config.api.operator_token.expose_secret());
    let known = token.is_some_and(|(_, token)| hash(token.trim()).ct_eq(&ours).into());
    if known {
        Ok(next.run(request).await)
    } else {
        Err(FlatError::new(StatusCode::UNAUTHORIZED, "unauthorized"))
    }
}
