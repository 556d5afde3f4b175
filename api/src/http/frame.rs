//! The frame around every request: trace id, size and time limits, one log line, one metric.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use shared::ids::TraceId;
use tracing::Instrument as _;

use super::flat::FlatError;
use super::json::too_large;
use crate::app::App;

/// The response header that carries the trace id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The request header a trace may come in with (W3C trace context).
const TRACEPARENT: &str = "traceparent";

/// Wraps a request.
pub async fn frame(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let incoming = request
        .headers()
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok());
    let trace = incoming
        .and_then(TraceId::from_traceparent)
        .unwrap_or_else(TraceId::generate);
    request.extensions_mut().insert(trace.clone());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!("request", trace_id = %trace, %method, route);

    let answer = async {
        let bound = Duration::from_millis(app.config.api.api_request_timeout_ms);
        match tokio::time::timeout(bound, sized(&app, request, next)).await {
            Ok(response) => response,
            Err(_) => FlatError::busy("request_timeout").into_response(),
        }
    };
    let mut response = answer.instrument(span.clone()).await;

    let (status, elapsed) = (response.status(), started.elapsed());
    // In a task of its own: the answer need not wait for it.
    tokio::spawn(async move { account_for(&method, route, status, elapsed) }.instrument(span));
    if app.shutdown.is_stopping() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_str(trace.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// One log line, one metric.
fn account_for(method: &Method, route: String, status: StatusCode, elapsed: Duration) {
    tracing::info!(
        status = status.as_u16(),
        duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    metrics::histogram!(
        "quittance_http_request_duration_seconds",
        "method" => method_label(method.as_str()), "route" => route, "status" => status.as_str().to_owned()
    )
    .record(elapsed);
}

/// Refuses a body that is announced as too large, whether the endpoint would read it or not.
async fn sized(app: &App, request: Request, next: Next) -> Response {
    if declared_length(&request) > app.config.api.api_body_bytes_max {
        return too_large(request.into_body()).await.into_response();
    }
    next.run(request).await
}

/// Methods are the client's words: only known ones become label values.
fn method_label(method: &str) -> &'static str {
    ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

fn declared_length(request: &Request) -> usize {
    let header = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    header.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The answer to a path that is none of ours.
pub async fn no_route() -> FlatError {
    FlatError::not_found("not found")
}

/// The answer to a verb that the path does not take.
pub async fn wrong_method() -> FlatError {
    FlatError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
}

/// A handler that panicked answers like any other failure.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature is tower-http's"
)]
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a request panicked");
    FlatError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").into_response()
}
