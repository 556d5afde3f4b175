//! Settles one invoice from a balance (contract §4.6), through the group commit.

use std::time::{Duration, Instant};

use shared::config::Config;
use shared::ids::TraceId;
use shared::queue::PayJob;
use shared::settlement::PayOutcome;

use crate::group_commit::{CommitError, GroupCommit};
use crate::registry::{Handler, Outcome};

/// Waits between attempts while Postgres is away: doubling between these.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// The handler of the queue `pay`.
#[derive(Clone)]
pub struct Pay {
    group_commit: GroupCommit,
    patience: Duration,
    /// After so long a job that still waits for its turn goes back to the queue: else it would count as one that never
    /// ends.
    wait_max: Duration,
}

impl Pay {
    /// Settles through this group commit. While Postgres is away it tries for most of its time, then lets the job
    /// wait in the queue again.
    pub fn new(group_commit: GroupCommit, config: &Config) -> Self {
        Self {
            group_commit,
            patience: Self::timeout(config) / 2,
            wait_max: Self::timeout(config) / 10 * 9,
        }
    }
}

impl Handler for Pay {
    type Job = PayJob;
    type Reply = PayOutcome;

    async fn handle(
        &self,
        job: PayJob,
        trace: TraceId,
        until: Option<Instant>,
    ) -> Outcome<PayOutcome> {
        let started = Instant::now();
        let give_up = started + self.wait_max;
        let mut backoff = BACKOFF_MIN;
        loop {
            match self
                .group_commit
                .settle(job.clone(), trace.clone(), until, give_up)
                .await
            {
                Ok(outcome) => return Outcome::Done(outcome),
                // Settling twice is answered like settling once.
                Err(CommitError::Transient) if started.elapsed() < self.patience => {
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                Err(CommitError::Transient | CommitError::Stopped) => return Outcome::Again,
                Err(CommitError::Late) => return Outcome::Stale,
                Err(CommitError::Refused(reason)) => {
                    return Outcome::Park {
                        reason,
                        reply: PayOutcome::Parked,
                    };
                }
            }
        }
    }

    fn log(job: &PayJob, outcome: &PayOutcome) {
        tracing::info!(invoice_id = %job.invoice_id, user_id = %job.user_id, ?outcome, "settled");
    }

    fn timeout(config: &Config) -> Duration {
        Duration::from_millis(config.worker.pay_handler_timeout_ms)
    }

    fn concurrency(config: &Config) -> usize {
        config.worker.pay_concurrency
    }
}
