//! Suite: what operators can do and see, and what nobody can.
#![expect(
    clippy::expect_used,
    reason = "an unmet expectation in a helper is how a test fails"
)]

mod actions;
mod adjustments;
mod audit;
mod auth;
mod chain_books;
mod chain_corruptions;
mod chain_privileges;
mod corruptions;
mod locks;
mod parked;
mod pauses;
mod privileges;
mod queues;
mod secrets;
mod sessions;
mod startup_errors;
mod support;
mod unattributed;
mod users;
mod wrong_requests;
