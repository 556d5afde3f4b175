//! Payments on a real chain, end to end: a wallet pays, a watcher proves it, the invoice is settled. The names carry the
//! numbers of the adversarial cases they stand for. Runs on the local chain, or on the validator of `SOLANA_RPC_URL`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test suite: a failed step fails its test"
)]

mod amounts;
mod attribution;
mod forms;
mod inapp;
mod lateness;
mod local_chain;
mod operators;
mod refusals;
mod relay;
mod scene;
mod wallets;
mod watchers;
