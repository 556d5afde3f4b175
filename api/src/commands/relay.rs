//! Asks a worker to broadcast a stored transaction, and waits for what the nodes say. Nothing depends on the reply:
//! what is stored is broadcast by the workers' sweep, too.

use std::time::Duration;

use shared::chain::RelayOutcome;
use shared::config::Config;
use shared::ids::TraceId;
use shared::queue::{EnvelopeError, Producer, RelayJob};

use super::ask::{Answer, Ask, Patience};
use crate::hub::Hub;

/// The command with what it needs.
pub struct Relay {
    worker: Ask,
}

impl Relay {
    /// Enqueues through `producer`, awaits replies at `hub`.
    pub fn new(hub: Hub, producer: Producer, config: &Config) -> Self {
        // A worker that waits for a node is not dead: the job is not given to another one before that is over.
        let resend = config
            .api
            .pay_resend_ms
            .max(config.chain.solana_rpc_timeout_ms)
            .min(config.api.pay_wait_timeout_ms);
        let patience = Patience {
            wait: Duration::from_millis(config.api.pay_wait_timeout_ms),
            resend: Duration::from_millis(resend),
            waiters_max: config.api.pay_waiters_max,
        };
        Self {
            worker: Ask::new(hub, producer, patience),
        }
    }

    /// Has the transaction of this signature broadcast; `None` when nothing is known within the time.
    pub async fn relay(
        &self,
        signature: String,
        trace: &TraceId,
    ) -> Result<Option<RelayOutcome>, EnvelopeError> {
        let deadline = self.worker.deadline();
        let job = RelayJob { signature };
        match self.worker.ask(job, trace, deadline).await? {
            Answer::Outcome(outcome) => Ok(Some(outcome)),
            Answer::Silence | Answer::QueueFull => Ok(None),
        }
    }
}
