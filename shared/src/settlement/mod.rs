//! The only way money moves and invoices end. Each function here is one call of one SQL function
//! (`migrations/functions`: `balance_settlement`, `chain_payments`, `chain_settlement`, `deposits`, `expiry`, `invoices`,
//! `ledger`), so that no lock is held across a round trip; each runs in its own transaction that posts everything or
//! nothing, and returns the events to publish.
//!
//! Callers: the worker settles from balance and expires; the watcher settles what it proved on chain; the api
//! cancels, and adjusts, locks, attributes and credits for operators. The Postgres roles allow exactly this and no direct write.

use std::io::ErrorKind;

mod adjust;
mod attribution;
mod balance;
mod cancel;
mod chain;
mod expire;
mod kept_connection;
mod lock;
mod release;

pub use adjust::{Adjustment, AdjustmentRefusal, adjust};
pub use attribution::{
    AttributionRefusal, CreditRefusal, DepositCredit, attribute_deposit, credit_deposit,
};
pub use balance::{PayOutcome, Settled, settle_from_balance};
pub use cancel::cancel;
pub use chain::{
    ChainPayment, Recorded, SettleRules, record_chain_payments, reverse_chain_payment,
};
pub use expire::{Expired, expire};
pub use kept_connection::{KeptConnection, Repeatable};
pub use lock::set_lock;
pub use release::{Released, settle_ended_invoices};

/// A settlement that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// The database refused or failed. Unless it is transient, the same call will fail again.
    #[error("the settlement could not be carried out")]
    Database(#[from] sqlx::Error),
    /// A settlement function answered what this binary does not know: schema and binary do not match.
    #[error("the settlement function answered {0:?}, which this version does not know")]
    UnknownAnswer(String),
    /// An amount on chain beyond what the database counts in.
    #[error("{0} base units are more than can be counted")]
    TooLarge(u64),
}

impl SettlementError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => crate::db::is_transient(error),
            Self::UnknownAnswer(_) | Self::TooLarge(_) => false,
        }
    }

    /// Whether the connection ended: by itself, or because the server did.
    fn is_disconnection(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Io(error)) => error.kind() != ErrorKind::TimedOut,
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| matches!(&*code, "57P01" | "57P02" | "08006" | "08003")),
            Self::Database(_) | Self::UnknownAnswer(_) | Self::TooLarge(_) => false,
        }
    }

    /// Whether somebody holds a lock for too long: the rest of a group need not wait for it.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| matches!(&*code, "55P03" | "57014" | "40P01")),
            Self::Database(_) | Self::UnknownAnswer(_) | Self::TooLarge(_) => false,
        }
    }
}
