//! Faults: whatever dies, stalls or loses its memory, a caller gets a definite answer or a 503 that may be retried,
//! and the books are right.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an unmet expectation in a helper is how a test fails"
)]

mod apis;
mod disconnects;
mod end_races;
mod fairness;
mod outbox;
mod pay_races;
mod poison;
mod postgres_away;
mod queue_bounds;
mod redis_away;
mod refusals;
mod stale_jobs;
mod startup;
mod support;
mod workers;
