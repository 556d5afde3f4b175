//! The structure rules, as tests: what the tree promises stays true.

#![expect(
    clippy::unwrap_used,
    reason = "a test suite: a failed step fails its test"
)]

mod boundaries;
mod manual;
mod sources;
mod tree;
