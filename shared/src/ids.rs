//! Typed identifiers, so that a user is never passed where an invoice is meant.

use std::fmt;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An invoice: `inv_` and 16 lower-case hex digits (contract §1). Opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InvoiceId(String);

impl InvoiceId {
    /// A fresh random id (64 bits; the primary key catches the rare collision).
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("inv_{:016x}", rand::rng().random::<u64>()))
    }

    /// Takes a path segment as an id; `None` when no invoice can have it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("inv_")?;
        let valid = hex.len() == 16 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(text.to_owned()))
    }

    /// Takes an id read from the database, where a CHECK guards its form.
    #[must_use]
    pub fn from_row(text: String) -> Self {
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvoiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user of the console: the owner of invoices and of one balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

impl UserId {
    /// A fresh random id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Follows one request from HTTP through its job to its events: 32 hex digits, as in W3C trace context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceId(String);

impl TraceId {
    /// A fresh random id.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{:032x}", rand::rng().random::<u128>()))
    }

    /// The trace id of a `traceparent` header (`00-<trace>-<span>-<flags>`), if it is well-formed and not all zero.
    #[must_use]
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let trace = header.split('-').nth(1)?;
        let hex = trace
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (trace.len() == 32 && hex && trace.bytes().any(|b| b != b'0'))
            .then(|| Self(trace.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invoice_ids_have_one_form() {
        let id = InvoiceId::generate();
        assert_eq!(InvoiceId::parse(id.as_str()), Some(id));
        for bad in [
            "",
            "inv_",
            "inv_8f2c1a",
            "inv_8F2A1C9D4E6B40F1",
            "8f2a1c9d4e6b40f1",
            "inv_8f2a1c9d4e6b40f1 ",
        ] {
            assert_eq!(InvoiceId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn traceparent_is_read_or_refused() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let header = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(
            TraceId::from_traceparent(&header).map(|t| t.to_string()),
            Some(trace.to_owned())
        );
        let zero = "0".repeat(32);
        for bad in [
            "",
            "00",
            "00-xyz-1-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-1-01",
            &format!("00-{zero}-1-01"),
        ] {
            assert_eq!(TraceId::from_traceparent(bad), None, "{bad:?}");
        }
    }
}
