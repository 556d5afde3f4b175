//! The kit does what it says: driven by the clients that services use, and by plain TCP.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an unmet expectation in a helper is how a test fails"
)]

mod accounts;
mod answers;
mod cluster;
mod direct;
mod forks;
mod lies;
mod notifications;
mod paging;
mod proxy;
mod scene;
mod sending;
mod sockets;
mod subscriptions;
mod times;
mod transactions;
mod views;
