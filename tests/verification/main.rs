//! What a landed transaction pays, and for which invoices: the rules of `shared::chain`, attacked.
//!
//! Answers of nodes are built on a small model of accounts ([`ledger`]), so that what a transaction did follows from
//! its instructions; inconsistent answers are made from consistent ones. The numbers in the names are those of the
//! catalogue of adversarial cases that the rules were written against.
//!
//! All invoices share a treasury and are told apart by references. Treasuries may change, and old invoices keep asking
//! for the old one: [`own_addresses`] repeats the cases about attribution with a wallet for each invoice, the extreme
//! of that.

#![expect(
    clippy::unwrap_used,
    reason = "a test suite: a failed step fails its test"
)]

mod admission;
mod amounts;
mod attribution;
mod balances;
mod broken;
mod contradictions;
mod draft;
mod form;
mod ledger;
mod movements;
mod outflows;
mod own_addresses;
mod plan;
mod properties;
mod scene;

use proptest::test_runner::Config;

/// So many times the usual number of random cases; `PROPTEST_CASES` changes what is usual.
fn random(times: u32) -> Config {
    let usual = Config::default();
    Config {
        cases: usual.cases * times,
        failure_persistence: None,
        ..usual
    }
}
