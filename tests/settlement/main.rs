//! The settlement functions against an independent model, and against each other at once.

#![expect(
    clippy::unwrap_used,
    reason = "a test suite: a failed step fails its test"
)]

mod audit_scale;
mod model;
mod races;
mod rules;
mod serial;
mod world;
