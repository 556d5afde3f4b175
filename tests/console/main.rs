//! Suite: the console API, as its contract says it.
#![expect(
    clippy::expect_used,
    reason = "an unmet expectation in a helper is how a test fails"
)]

mod balance;
mod balance_stream;
mod cancel;
mod create;
mod create_bodies;
mod create_once;
mod create_refusals;
mod cross_site;
mod csrf;
mod entries;
mod expiry;
mod followed;
mod fx;
mod inapp;
mod inapp_build;
mod inapp_relay;
mod inapp_submit;
mod invoice_stream;
mod keep_alive;
mod list;
mod outside;
mod pay;
mod pay_refusals;
mod rails;
mod rate_limit;
mod read;
mod request_ids;
mod revocation;
mod sessions;
mod sliding;
mod smallest;
mod support;
mod traces;
mod wrong_requests;
