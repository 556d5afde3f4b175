//! Query strings. The house convention (contract §7): a bad number is replaced by its default, not refused.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use crate::app::App;

/// The pairs of a query string; the first of a name counts.
pub struct QueryPairs(Vec<(String, String)>);

impl FromRequestParts<App> for QueryPairs {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(
            Query::try_from_uri(&parts.uri)
                .map(|Query(pairs)| pairs)
                .unwrap_or_default(),
        ))
    }
}

impl QueryPairs {
    /// The value of a name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value as a whole number above zero.
    pub fn positive(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok().filter(|number| *number > 0)
    }

    /// A page size: the default when absent, zero or bad; at most the maximum.
    pub fn limit(&self, default: u16, max: u16) -> u16 {
        self.positive("limit").map_or(default, |limit| {
            u16::try_from(limit).unwrap_or(max).min(max)
        })
    }
}
