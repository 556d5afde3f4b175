//! JSON request bodies: content type, size and syntax, each with its own answer.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::flat::FlatError;
use crate::app::App;

/// A JSON body. Refusals: 415, 413, and 400 `bad json: <detail>` (contract §9 C8).
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = FlatError;

    async fn from_request(request: Request, app: &App) -> Result<Self, FlatError> {
        if !is_json(request.headers()) {
            return Err(FlatError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
            ));
        }
        let bytes = read(request.into_body(), app.config.api.api_body_bytes_max).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| FlatError::bad_request(format!("bad json: {error}")))
    }
}

/// The answer to a body above the limit.
pub fn too_large() -> FlatError {
    FlatError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
}

async fn read(body: Body, bytes_max: usize) -> Result<axum::body::Bytes, FlatError> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(FlatError::bad_request("bad json: the body ended early")),
    }
}

/// `application/json`, or any `application/*+json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_sorted() {
        let cases = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("text/json+json", false),
            ("", false),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
