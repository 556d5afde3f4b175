//! Asks a worker to settle an invoice from a balance, and waits for the outcome.
//!
//! The payment itself runs in the worker: a caller that goes away changes nothing. A job that stays unanswered is
//! sent again, so a flushed Redis or a dead worker costs the caller a second; at the deadline Postgres is asked.

use std::time::Duration;

use shared::config::ApiConfig;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::invoices::{InvoiceError, InvoiceStatus, find};
use shared::ledger::{LedgerError, balance};
use shared::queue::{EnqueueError, Envelope, EnvelopeError, PayJob, Producer, Sent};
use shared::settlement::PayOutcome;
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};

use crate::hub::Hub;

/// How soon to try again when Redis did not take the job.
const ENQUEUE_RETRY: Duration = Duration::from_millis(200);

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
    hub: Hub,
    producer: Producer,
    pool: PgPool,
    wait: Duration,
    resend: Duration,
    waiters_max: usize,
}

impl PayFromBalance {
    /// Enqueues through `producer`, awaits replies at `hub`.
    pub fn new(hub: Hub, producer: Producer, pool: PgPool, config: &ApiConfig) -> Self {
        Self {
            hub,
            producer,
            pool,
            wait: Duration::from_millis(config.pay_wait_timeout_ms),
            resend: Duration::from_millis(config.pay_resend_ms),
            waiters_max: config.pay_waiters_max,
        }
    }

    /// Settles `invoice_id` from the balance of `user_id`.
    pub async fn pay(
        &self,
        invoice_id: &InvoiceId,
        user_id: UserId,
        trace: &TraceId,
    ) -> Result<PayAnswer, PayError> {
        let deadline = Instant::now() + self.wait;
        // Registered before the job exists, so that no reply can come too early.
        let Some(mut waiter) = self.hub.wait(self.waiters_max) else {
            return Ok(PayAnswer::QueueFull);
        };
        let job = PayJob {
            invoice_id: invoice_id.clone(),
            user_id,
        };
        let mut envelope = Envelope::new(
            waiter.id,
            self.hub.reply_channel().to_owned(),
            trace.clone(),
            None,
            job,
        );

        let mut sent: Option<Sent> = None;
        let mut may_be_sent = false;
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            envelope.ttl_ms = Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            let payload = envelope.encode()?;
            // Bounded: while Redis is away, enqueueing waits for the next connection.
            let enqueueing = self
                .producer
                .enqueue_again(&payload, sent.as_ref(), self.resend);
            let Ok(enqueued) = timeout_at(deadline, enqueueing).await else {
                break;
            };
            let pause = match enqueued {
                Ok(entry) => {
                    sent = Some(entry);
                    self.resend
                }
                Err(EnqueueError::Full) if sent.is_none() && !may_be_sent => {
                    return Ok(PayAnswer::QueueFull);
                }
                Err(EnqueueError::Full) => self.resend,
                Err(EnqueueError::Redis(error)) => {
                    // Redis may have taken it all the same: from here on the outcome is open.
                    tracing::warn!(%error, "the payment job is sent again");
                    may_be_sent = true;
                    ENQUEUE_RETRY
                }
            };
            let until = deadline.min(Instant::now() + pause);
            if let Ok(Ok(outcome)) = timeout_at(until, &mut waiter.outcome).await {
                return Ok(PayAnswer::Decided(outcome));
            }
        }
        self.read(invoice_id, user_id).await
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
