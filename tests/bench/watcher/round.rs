//! One round: a burst, then steady payments, and what they cost.

use std::fmt;
use std::sync::Arc;

use stack::Deployment;

use super::bill::bills;
use super::burst::{Burst, burst};
use super::heard::Heard;
use super::payer::Payer;
use super::pending::Pending;
use super::plan::{Load, Plan};
use super::steady::{Steady, steady};
use super::vitals::Vitals;
use crate::failure::BenchError;
use crate::measure::{grouped, millis, number, percentile};
use crate::screen::say;

/// Payments that only fill caches.
const WARM_UP: usize = 50;

/// What a round has measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What else was in the database.
    pub load: Load,
    /// Payments of both parts.
    pub payments: usize,
    /// The burst.
    pub burst: Burst,
    /// The steady part.
    pub steady: Steady,
    /// What both parts used together.
    pub used: Vitals,
}

impl Measured {
    /// So much of something, per payment.
    pub fn per_payment(&self, of: f64) -> f64 {
        of / number(self.payments).max(1.0)
    }
}

/// A line about the round while the others are still to come.
impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let soon = |values, percent| millis(percentile(values, percent));
        write!(
            formatter,
            "confirmed {:.0}/s, paid {:.0}/s; told after {:.0} ms (p99 {:.0}) and {:.0} ms (p99 {:.0})",
            self.burst.confirmed,
            self.burst.paid,
            soon(&self.steady.progress, 50),
            soon(&self.steady.progress, 99),
            soon(&self.steady.paid, 50),
            soon(&self.steady.paid, 99),
        )
    }
}

/// A stack that is measured.
pub struct Bench<'a> {
    deployment: &'a Deployment,
    plan: &'a Plan,
    payer: Arc<Payer>,
    heard: Heard,
    pending: Option<Pending>,
}

impl<'a> Bench<'a> {
    /// Gets everything ready.
    pub async fn prepare(deployment: &'a Deployment, plan: &'a Plan) -> Result<Self, BenchError> {
        let bills = WARM_UP + plan.rounds.len() * (plan.burst + plan.steady);
        Ok(Self {
            payer: Arc::new(Payer::with_means(deployment.chain(), bills).await?),
            heard: Heard::listen(deployment).await?,
            deployment,
            plan,
            pending: None,
        })
    }

    /// Pays a little.
    pub async fn warm_up(&self) -> Result<(), BenchError> {
        let bills = bills(self.deployment, WARM_UP).await?;
        let rpc = self.deployment.chain().rpc();
        burst(&self.payer, rpc, &self.heard, bills).await?;
        Ok(())
    }

    /// Brings the database into this state.
    pub async fn become_loaded(&mut self, load: Load, further: usize) -> Result<(), BenchError> {
        let pool = self.deployment.pool();
        match (load, self.pending.take()) {
            (Load::Small, Some(pending)) => {
                say("removing the further invoices ...");
                pending.remove(pool).await?;
            }
            (Load::Big, None) => {
                say(&format!("adding {} further invoices ...", grouped(further)));
                let address = self.deployment.chain().deposit_address().to_string();
                self.pending = Some(Pending::insert(pool, &address, further).await?);
            }
            (_, unchanged) => self.pending = unchanged,
        }
        Ok(())
    }

    /// Measures once.
    pub async fn round(&self, load: Load) -> Result<Measured, BenchError> {
        let Plan {
            burst: in_burst,
            steady: in_steady,
            interval,
            ..
        } = *self.plan;
        let payments = in_burst + in_steady;
        let mut at_once = bills(self.deployment, payments).await?;
        let one_by_one = at_once.split_off(in_burst);
        let rpc = self.deployment.chain().rpc();
        let before = Vitals::read(self.deployment).await?;
        let burst = burst(&self.payer, rpc, &self.heard, at_once).await?;
        let steady = steady(&self.payer, rpc, &self.heard, one_by_one, interval).await?;
        let used = Vitals::read(self.deployment).await?.since(before);
        Ok(Measured {
            load,
            payments,
            burst,
            steady,
            used,
        })
    }
}
