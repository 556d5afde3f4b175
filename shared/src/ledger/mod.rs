//! Balances and entries as users see them, the audit, and the books against the chain. Reads only: [`crate::settlement`] writes.

mod audit;
mod balance;
mod entries;
mod reconcile;

pub use audit::{AUDIT_LIMIT, Audit, Check, audit};
pub use balance::{BalanceSnapshot, balance};
pub use entries::{Entry, EntryPage, entries, missed_events};
pub use reconcile::{AccountBooks, Reconciliation, exact_units, reconciliation};

/// The ledger could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database failed.
    #[error("the ledger cannot be read")]
    Database(#[from] sqlx::Error),
}
