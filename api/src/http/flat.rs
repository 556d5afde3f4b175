//! The flat error body `{"error": "<string>"}` (contract §1), used by the console and the operator API.

use std::borrow::Cow;

use axum::Json;
use axum::http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, RETRY_AFTER},
};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use shared::ledger::LedgerError;
use shared::settlement::SettlementError;
use shared::telemetry::log_failure;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlatError {
    status: StatusCode,
    error: Cow<'static, str>,
    reason: Option<&'static str>,
    retry_after_seconds: Option<u32>,
    closes: bool,
}

impl FlatError {
    /// An answer with this status and this `error`.
    pub fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: error.into(),
            reason: None,
            retry_after_seconds: None,
            closes: false,
        }
    }

    /// 400.
    pub fn bad_request(error: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 404.
    pub fn not_found(error: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 409.
    pub fn conflict(error: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// 503, to be tried again in a second.
    pub fn busy(error: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(1)
    }

    /// A failure that is not the caller's: logged here with its causes, answered without them.
    pub fn failure(error: &dyn std::error::Error, transient: bool) -> Self {
        if transient {
            log_failure("a dependency is away", error);
            Self::busy("unavailable")
        } else {
            log_failure("a request failed", error);
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
        }
    }

    /// The same answer without what follows the first colon of its `error`.
    #[must_use]
    pub fn without_detail(mut self) -> Self {
        if let Some((error, _)) = self.error.split_once(':') {
            self.error = error.to_owned().into();
        }
        self
    }

    /// Ends the connection with this answer: what the client still sends will not be read.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Adds a second key: why, in a word.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }
}

impl IntoResponse for FlatError {
    fn into_response(self) -> Response {
        let body = match self.reason {
            Some(reason) => json!({"error": self.error, "reason": reason}),
            None => json!({"error": self.error}),
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.closes {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<sqlx::Error> for FlatError {
    fn from(error: sqlx::Error) -> Self {
        Self::failure(&error, shared::db::is_transient(&error))
    }
}

impl From<LedgerError> for FlatError {
    fn from(error: LedgerError) -> Self {
        let LedgerError::Database(source) = &error;
        Self::failure(&error, shared::db::is_transient(source))
    }
}

impl From<SettlementError> for FlatError {
    fn from(error: SettlementError) -> Self {
        Self::failure(&error, error.is_transient())
    }
}

impl From<shared::invoices::InvoiceError> for FlatError {
    fn from(error: shared::invoices::InvoiceError) -> Self {
        Self::failure(&error, error.is_transient())
    }
}

impl From<shared::queue::ParkingError> for FlatError {
    fn from(error: shared::queue::ParkingError) -> Self {
        let shared::queue::ParkingError::Database(source) = &error;
        Self::failure(&error, shared::db::is_transient(source))
    }
}
