//! Invoices: their rows, what they buy, how they can be paid, and their creation.
//!
//! The api creates them; only [`crate::settlement`] ends them.

mod action;
mod create;
mod payments;
mod price;
mod rail;
mod read;
mod registry;

pub use action::{ActionError, BillAction, Plan, TOPUP};
pub use create::{CreateError, Created, NewInvoice, TTL_SECONDS_MAX, create, find_by_request};
pub use payments::{InvoicePayment, Progress, progress, remaining_units};
pub use price::{PriceError, price};
pub use rail::{Channel, Rail};
pub use read::{
    Invoice, InvoiceStatus, ListFilter, Standing, find, list, missed_event, names_other_invoice,
    standing,
};
pub use registry::{PaymentTarget, RailRegistry, units_due};

use crate::db;

/// An invoice could not be read or understood.
#[derive(Debug, thiserror::Error)]
pub enum InvoiceError {
    /// The database failed.
    #[error("invoices cannot be read")]
    Database(#[from] sqlx::Error),
    /// A row holds a value this binary does not know.
    #[error("invoice {invoice} has the unknown {column} {value:?}")]
    UnknownValue {
        /// The invoice.
        invoice: String,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
}

impl InvoiceError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => db::is_transient(error),
            Self::UnknownValue { .. } => false,
        }
    }
}
