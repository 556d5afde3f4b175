//! Load: many payments at once, a random mix of everything, and audits that must notice what is planted for them.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an unmet expectation in a helper is how a test fails"
)]

mod audit_catches;
mod mix;
mod model;
#[expect(dead_code, reason = "the suite of faults uses the rest")]
#[path = "../faults/support/mod.rs"]
mod support;
mod thousand;
mod watch;
