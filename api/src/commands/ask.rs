//! Asks a worker to do a job, and waits for the reply. A job that stays unanswered is sent again, so a flushed Redis
//! or a dead worker costs the caller a moment; jobs bear being done twice.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::ids::TraceId;
use shared::queue::{EnqueueError, Envelope, EnvelopeError, Producer, Sent};
use tokio::time::{Instant, timeout_at};

use crate::hub::Hub;

/// How soon to try again when Redis did not take the job.
const ENQUEUE_RETRY: Duration = Duration::from_millis(200);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<O> {
    /// A worker's word.
    Outcome(O),
    /// Nothing within the time; the job may have been done.
    Silence,
    /// Too much is waiting already; nothing was enqueued.
    QueueFull,
}

/// How patient a caller is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long it waits.
    pub wait: Duration,
    /// After how long without a reply the job may be sent again.
    pub resend: Duration,
    /// How many calls of this process may wait at once.
    pub waiters_max: usize,
}

/// One queue, as callers use it.
pub struct Ask {
    hub: Hub,
    producer: Producer,
    patience: Patience,
}

impl Ask {
    /// Enqueues through `producer`, awaits replies at `hub`.
    pub fn new(hub: Hub, producer: Producer, patience: Patience) -> Self {
        Self {
            hub,
            producer,
            patience,
        }
    }

    /// When a caller who comes now gives up.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.patience.wait
    }

    /// Has a job done. The job lives as long as the caller waits.
    pub async fn ask<J, O>(
        &self,
        job: J,
        trace: &TraceId,
        deadline: Instant,
    ) -> Result<Answer<O>, EnvelopeError>
    where
        J: Serialize + DeserializeOwned,
        O: DeserializeOwned,
    {
        // Registered before the job exists, so that no reply can come too early.
        let Some(mut waiter) = self.hub.wait(self.patience.waiters_max) else {
            return Ok(Answer::QueueFull);
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
            let enqueueing =
                self.producer
                    .enqueue_again(payload, sent.clone(), self.patience.resend);
            let Ok(enqueued) = timeout_at(deadline, enqueueing).await else {
                break;
            };
            let pause = match enqueued {
                Ok(entry) => {
                    sent = Some(entry);
                    self.patience.resend
                }
                Err(EnqueueError::Full) if sent.is_none() && !may_be_sent => {
                    return Ok(Answer::QueueFull);
                }
                Err(EnqueueError::Full) => self.patience.resend,
                Err(EnqueueError::Redis(error)) => {
                    // Redis may have taken it all the same: from here on the outcome is open.
                    tracing::warn!(%error, "the job is sent again");
                    may_be_sent = true;
                    ENQUEUE_RETRY
                }
                Err(EnqueueError::Ending) => break,
            };
            let until = deadline.min(Instant::now() + pause);
            if let Ok(Ok(outcome)) = timeout_at(until, &mut waiter.outcome).await {
                return Ok(match serde_json::from_str(outcome.get()) {
                    Ok(outcome) => Answer::Outcome(outcome),
                    Err(error) => {
                        tracing::error!(%error, "a reply cannot be read");
                        Answer::Silence
                    }
                });
            }
        }
        Ok(Answer::Silence)
    }
}
