//! What every part of the watcher works with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shared::chain::{DepositAccount, Nodes, Noted, note_signatures};
use shared::config::Config;
use shared::events::Publisher;
use shared::prices::Prices;
use shared::settlement::SettleRules;
use shared::telemetry::{Shutdown, log_failure};
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::backfill::Ahead;
use crate::openings::Seen;
use crate::recorder::Recorder;
use crate::ripening::Ripening;

/// Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// This watcher, among others.
    pub id: Uuid,
    /// Settings.
    pub config: Arc<Config>,
    /// The process' pool.
    pub pool: PgPool,
    /// The chain.
    pub nodes: Nodes,
    /// What a SOL is worth.
    pub prices: Prices,
    /// Publishes what was settled.
    pub publisher: Publisher,
    /// Ends everything.
    pub shutdown: Shutdown,
    /// Every account that was ever ours.
    pub accounts: watch::Receiver<Arc<Vec<DepositAccount>>>,
    /// The keys that this watcher follows now.
    pub held: watch::Receiver<BTreeSet<String>>,
    /// There is something to examine.
    pub found: Arc<Notify>,
    /// Histories must be read now: a subscription began.
    pub backfill: Arc<Notify>,
    /// Records what was examined.
    pub recorder: Recorder,
    /// What waits for the chain's root.
    pub ripening: Arc<Ripening>,
    /// Cursors that are ahead of the chain.
    pub ahead: Arc<Ahead>,
    /// Balances with which books may begin.
    pub openings: Arc<Seen>,
}

impl Context {
    /// How many accounts are known: what was judged with fewer is judged again once it is found again.
    #[must_use]
    pub fn accounts_known(&self) -> i32 {
        i32::try_from(self.accounts.borrow().len()).unwrap_or(i32::MAX)
    }

    /// How to settle what is recorded now.
    #[must_use]
    pub fn settle_rules(&self) -> SettleRules {
        SettleRules {
            at_confirmed: self.config.chain.settles_at_confirmed(),
            sol_price_micro: self.prices.sol_micro(),
            dust_below_micro: self.config.billing.dust_below_micro,
        }
    }

    /// Writes signatures down and wakes whoever examines them. What cannot be written is found again by polling.
    pub async fn note(
        &self,
        signatures: &[(String, Option<u64>)],
        noted: Noted,
    ) -> Result<(), sqlx::Error> {
        if signatures.is_empty() {
            return Ok(());
        }
        if note_signatures(&self.pool, signatures, noted).await? > 0 {
            self.found.notify_one();
        }
        Ok(())
    }

    /// Runs a round of work again and again until the process stops. A failed round is logged; the next one comes in
    /// time. `hurry` starts a round early.
    pub async fn every<E: std::error::Error>(
        &self,
        task: &'static str,
        pause: Duration,
        hurry: &Notify,
        round: impl AsyncFn(&Self) -> Result<(), E>,
    ) {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = hurry.notified() => {}
                () = self.shutdown.wait() => return,
            }
            if let Err(error) = round(self).await {
                metrics::counter!("quittance_watch_failures_total", "task" => task).increment(1);
                log_failure("a round of watching failed", &error);
            }
        }
    }
}
