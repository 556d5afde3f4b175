//! Live streams when the messages behind them come late, twice, out of order, or never.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test suite: a failed step fails its test"
)]

mod delivery;
mod limits;
mod scene;
