//! What was paid for an invoice on chain, and what it still asks for.

use sqlx::PgPool;
use time::OffsetDateTime;

use super::{Invoice, InvoiceError, units_due};
use crate::ids::InvoiceId;

/// How many payments are shown.
const PAYMENTS_MAX: i64 = 100;

/// A payment on chain that names an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoicePayment {
    /// The transaction.
    pub signature: String,
    /// What it counted for, micro-USD; before it is settled, what it is worth at the locked rate.
    pub amount_micro: i64,
    /// `confirmed`, `finalized` or `reversed`.
    pub state: String,
    /// When it was first seen.
    pub seen_at: OffsetDateTime,
}

/// How far an invoice is paid on chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Base units of its price that have not landed in time; none of a paid one's. What landed and is not final counts.
    pub remaining_units: u64,
    /// What is still to be paid, micro-USD: nothing once it has ended.
    pub remaining_micro: i64,
    /// Its newest payments, newest first.
    pub payments: Vec<InvoicePayment>,
}

impl Progress {
    /// That of an invoice that was just made; `None` when its price does not fit its token.
    #[must_use]
    pub fn none(invoice: &Invoice) -> Option<Self> {
        let units = units_due(
            invoice.rail,
            invoice.amount_micro,
            invoice.fx_micro_per_token,
        );
        Some(Self {
            remaining_units: units?,
            remaining_micro: invoice.amount_micro,
            payments: Vec::new(),
        })
    }
}

/// Reads how far an invoice is paid. It must exist.
pub async fn progress(pool: &PgPool, id: &InvoiceId) -> Result<Progress, InvoiceError> {
    let row = sqlx::query_file!("src/invoices/remaining.sql", id.as_str())
        .fetch_one(pool)
        .await?;
    let payments = sqlx::query_file_as!(
        InvoicePayment,
        "src/invoices/payments.sql",
        id.as_str(),
        PAYMENTS_MAX
    )
    .fetch_all(pool)
    .await?;
    Ok(Progress {
        remaining_units: u64::try_from(row.remaining_units).unwrap_or(0),
        remaining_micro: row.remaining_micro,
        payments,
    })
}

/// The base units that a pending invoice still asks for. It must exist.
pub async fn remaining_units(pool: &PgPool, id: &InvoiceId) -> Result<u64, InvoiceError> {
    let row = sqlx::query_file!("src/invoices/remaining.sql", id.as_str())
        .fetch_one(pool)
        .await?;
    Ok(u64::try_from(row.remaining_units).unwrap_or(0))
}
