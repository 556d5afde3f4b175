//! Asks a worker to settle an invoice from a balance, and waits for the outcome.
//!
//! The payment itself runs in the worker: a caller that goes away changes nothing. When no reply comes, Postgres is
//! asked.

use std::time::Duration;

use shared::config::ApiConfig;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::invoices::{InvoiceError, InvoiceStatus, find};
use shared::ledger::{LedgerError, balance};
use shared::queue::{EnvelopeError, PayJob, Producer};
use shared::settlement::PayOutcome;
use sqlx::PgPool;
use tokio::time::timeout_at;

use super::ask::{Answer, Ask, Patience};
use crate::hub::Hub;
use crate::turns::Turns;

/// What the caller learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayAnswer {
    /// A worker decided.
    Decided(PayOutcome),
    /// No outcome within the time; asking again finds the truth.
    StillSettling,
    /// Too much is waiting already; nothing was enqueued.
    QueueFull,
}

/// Why no answer could be given.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The invoice could not be read at the deadline.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    /// The balance could not be read at the deadline.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The job could not be written down.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// The command with what it needs.
pub struct PayFromBalance {
    worker: Ask,
    pool: PgPool,
    turns: Turns,
}

impl PayFromBalance {
    /// Enqueues through `producer`, awaits replies at `hub`.
    pub fn new(hub: Hub, producer: Producer, pool: PgPool, config: &ApiConfig) -> Self {
        let patience = Patience {
            wait: Duration::from_millis(config.pay_wait_timeout_ms),
            resend: Duration::from_millis(config.pay_resend_ms),
            waiters_max: config.pay_waiters_max,
        };
        Self {
            worker: Ask::new(hub, producer, patience),
            pool,
            turns: Turns::of(config.pay_per_user_max),
        }
    }

    /// Settles `invoice_id` from the balance of `user_id`.
    pub async fn pay(
        &self,
        invoice_id: &InvoiceId,
        user_id: UserId,
        trace: &TraceId,
    ) -> Result<PayAnswer, PayError> {
        // A user who floods waits here, and not before the others in the queue.
        let deadline = self.worker.deadline();
        let Ok(_turn) = timeout_at(deadline, self.turns.take(user_id)).await else {
            return Ok(PayAnswer::QueueFull);
        };
        let job = PayJob {
            invoice_id: invoice_id.clone(),
            user_id,
        };
        match self.worker.ask(job, trace, deadline).await? {
            Answer::Outcome(outcome) => Ok(PayAnswer::Decided(outcome)),
            Answer::QueueFull => Ok(PayAnswer::QueueFull),
            Answer::Silence => self.read(invoice_id, user_id).await,
        }
    }

    /// The truth at the deadline.
    async fn read(&self, invoice_id: &InvoiceId, user_id: UserId) -> Result<PayAnswer, PayError> {
        let paid = find(&self.pool, invoice_id).await?.is_some_and(|invoice| {
            invoice.status == InvoiceStatus::Paid && invoice.user_id == user_id
        });
        if paid && let Some(balance) = balance(&self.pool, user_id).await? {
            return Ok(PayAnswer::Decided(PayOutcome::Paid {
                new_balance_micro: balance.amount_micro,
            }));
        }
        Ok(PayAnswer::StillSettling)
    }
}
