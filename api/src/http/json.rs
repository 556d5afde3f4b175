//! JSON request bodies: content type, size and syntax, each with its own answer.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::flat::FlatError;
use crate::app::App;

/// A refused body is read and thrown away up to this size, so that the client, still sending, gets to the answer.
const DISCARDED_BYTES_MAX: usize = 1024 * 1024;

/// A JSON object as the body. Refusals: 415, 413, and 400 `bad json: <detail>` (contract §9 C8).
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
            .map(|Object(body)| Self(body))
            .map_err(|error| FlatError::bad_request(format!("bad json: {error}")))
    }
}

/// A value that must come as a JSON object: derived code would also take a list of the fields in order.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

async fn read(mut body: Body, bytes_max: usize) -> Result<BytesMut, FlatError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FlatError::bad_request("bad json: the body ended early"))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > bytes_max {
            return Err(too_large(body).await);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// The answer to a body above the limit, after the rest of it; a rest that is too long is left, and the connection
/// ends with the answer.
pub async fn too_large(mut rest: Body) -> FlatError {
    let refusal = FlatError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
    let mut discarded = 0;
    while let Some(Ok(frame)) = rest.frame().await {
        discarded += frame.data_ref().map_or(0, axum::body::Bytes::len);
        if discarded > DISCARDED_BYTES_MAX {
            return refusal.closing();
        }
    }
    refusal
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
