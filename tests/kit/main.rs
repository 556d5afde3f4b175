//! Somebody else's client: a customer's wallet that is made with `@solana/kit` pays invoices of a running Quittance. It
//! knows nothing but the console API, the payment URI and the chain. Runs on the local chain, or on the validator of
//! `SOLANA_RPC_URL`. `tests/kit/prerequisites.sh` gets Node and the wallet's packages.
#![expect(
    clippy::expect_used,
    reason = "an unmet expectation in a helper is how a test fails"
)]

mod checkout;
mod node;
mod payments;
mod refusals;
