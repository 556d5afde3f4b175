//! Broadcasts a submitted transaction for the first time (contract §4.8). What it leaves open the sweep goes on with.

use std::time::{Duration, Instant};

use shared::chain::RelayOutcome;
use shared::config::Config;
use shared::ids::TraceId;
use shared::queue::RelayJob;
use shared::telemetry::log_failure;

use crate::rails::solana::{Broadcaster, RelayError};
use crate::registry::{Handler, Outcome};

/// The handler of the queue `relay`.
#[derive(Clone)]
pub struct Relay {
    broadcaster: Broadcaster,
}

impl Relay {
    /// Sends through this.
    pub fn new(broadcaster: Broadcaster) -> Self {
        Self { broadcaster }
    }
}

impl Handler for Relay {
    type Job = RelayJob;
    type Reply = RelayOutcome;

    /// The transaction is stored, so it is sent whether the caller still waits or not.
    async fn handle(&self, job: RelayJob, _: TraceId, _: Option<Instant>) -> Outcome<RelayOutcome> {
        match self.broadcaster.first(&job.signature).await {
            Ok(Some(outcome)) => Outcome::Done(outcome),
            Ok(None) => Outcome::Park {
                reason: "no such transaction is stored".to_owned(),
                reply: RelayOutcome::Unknown,
            },
            Err(RelayError::Database(error)) if !shared::db::is_transient(&error) => {
                Outcome::Park {
                    reason: error.to_string(),
                    reply: RelayOutcome::Unknown,
                }
            }
            Err(error) => {
                log_failure("a transaction was not broadcast", &error);
                Outcome::Done(RelayOutcome::Unknown)
            }
        }
    }

    fn timeout(config: &Config) -> Duration {
        Duration::from_millis(config.chain.relay_handler_timeout_ms)
    }

    fn concurrency(config: &Config) -> usize {
        config.chain.relay_concurrency
    }
}
