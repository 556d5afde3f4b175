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
mod deposit_credits;
mod dismissals;
mod locks;
mod manual;
mod pages;
mod parked;
mod pauses;
mod privileges;
mod queues;
mod reconciliation;
mod reconciliation_scene;
mod secrets;
mod sessions;
mod startup_errors;
mod support;
mod unattributed;
mod users;
mod waiting;
mod wrong_requests;
