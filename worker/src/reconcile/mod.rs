//! The books against the chain: what each deposit account held in a final slot, and what it held then by the books.
//!
//! The chain is asked first and its answer kept; the books are asked once they are complete up to that slot. Until then
//! nothing is said, and the age of the last comparison tells. What differs is looked at again before it is believed.

mod look;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use shared::chain::{DepositAccount, DepositError, Nodes};
use shared::telemetry::log_failure;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::Instant;

use look::{Look, Verdict, judge};

/// How often books that were behind are asked again.
const POLL: Duration = Duration::from_millis(250);
/// How much longer one node's slot is waited for than another's: it may be ahead of the chain.
const PATIENCE: Duration = Duration::from_mins(1);
/// An answer of the chain is kept for so long; then it is asked anew.
const KEPT: Duration = Duration::from_mins(10);

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The accounts.
    #[error(transparent)]
    Accounts(#[from] DepositError),
}

/// An account that is being compared.
struct Comparison {
    account: DepositAccount,
    at: OffsetDateTime,
    taken: Instant,
    /// What each node that answered says.
    looks: Vec<Look>,
    /// Since when there are books for the first of them.
    begun: Option<Instant>,
    /// It differed before.
    is_second: bool,
}

/// Compares accounts; what the chain said is kept from one round to the next.
pub struct Reconciler {
    pool: PgPool,
    nodes: Nodes,
    open: BTreeMap<String, Comparison>,
    compared: BTreeSet<String>,
}

impl Reconciler {
    /// With these nodes.
    pub fn new(pool: PgPool, nodes: Nodes) -> Self {
        Self {
            pool,
            nodes,
            open: BTreeMap::new(),
            compared: BTreeSet::new(),
        }
    }

    /// Whether an account was compared since the start.
    pub fn has_compared(&self, account: &str) -> bool {
        self.compared.contains(account)
    }

    /// The accounts that wait for their books.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.open.keys().map(String::as_str)
    }

    /// Asks the chain about every account that does not wait for its books already.
    pub async fn take(&mut self) -> Result<(), ReconcileError> {
        self.open
            .retain(|_, comparison| comparison.taken.elapsed() < KEPT);
        let accounts = rows::followed(&self.pool).await?;
        let due = accounts
            .into_iter()
            .filter(|account| !self.open.contains_key(&account.account.to_string()));
        self.ask(due.collect(), false).await?;
        Ok(())
    }

    /// Compares what can be compared, for so long or until told to stop.
    pub async fn compare(
        &mut self,
        limit: Duration,
        is_stopping: impl Fn() -> bool,
    ) -> Result<(), ReconcileError> {
        let deadline = Instant::now() + limit;
        loop {
            self.compare_ready().await?;
            if self.open.is_empty() || is_stopping() || Instant::now() >= deadline {
                return Ok(());
            }
            tokio::time::sleep(POLL.min(limit)).await;
        }
    }

    async fn ask(
        &mut self,
        accounts: Vec<DepositAccount>,
        is_second: bool,
    ) -> Result<(), sqlx::Error> {
        let at = rows::now(&self.pool).await?;
        let nodes = &self.nodes;
        let asked = accounts
            .into_iter()
            .map(async |account| (look::at(nodes, &account).await, account));
        for (looks, account) in join_all(asked).await {
            if looks.is_empty() {
                tracing::warn!(account = %account.account, "no node says what this account holds");
                continue;
            }
            let comparison = Comparison {
                at,
                taken: Instant::now(),
                looks,
                begun: None,
                is_second,
                account,
            };
            self.open
                .insert(comparison.account.account.to_string(), comparison);
        }
        Ok(())
    }

    async fn compare_ready(&mut self) -> Result<(), ReconcileError> {
        let mut failed = None;
        let mut again = Vec::new();
        let keys: Vec<String> = self.open.keys().cloned().collect();
        for key in keys {
            let Some(comparison) = self.open.get_mut(&key) else {
                continue;
            };
            match decide(&self.pool, comparison).await {
                Ok(Decision::Wait) => {}
                Ok(Decision::Again) => again.extend(self.open.remove(&key)),
                Ok(Decision::Done { is_compared }) => {
                    self.open.remove(&key);
                    if is_compared {
                        self.compared.insert(key);
                    }
                }
                // The others are compared all the same.
                Err(error) => {
                    log_failure("an account could not be compared with the chain", &error);
                    failed = Some(error);
                }
            }
        }
        let again = again.into_iter().map(|comparison| comparison.account);
        self.ask(again.collect(), true).await?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

enum Decision {
    Wait,
    Again,
    Done { is_compared: bool },
}

async fn decide(pool: &PgPool, comparison: &mut Comparison) -> Result<Decision, sqlx::Error> {
    let account = comparison.account.account.to_string();
    for look in &mut comparison.looks {
        rows::read_books(pool, &account, look).await?;
    }
    if comparison.begun.is_none() && comparison.looks.iter().any(Look::is_compared) {
        comparison.begun = Some(Instant::now());
    }
    let is_over = comparison
        .begun
        .is_some_and(|begun| begun.elapsed() >= PATIENCE);
    match judge(&comparison.looks, is_over) {
        Verdict::Open => Ok(Decision::Wait),
        Verdict::Void => Ok(Decision::Done { is_compared: false }),
        Verdict::Differs(_) | Verdict::Disputed(_) if !comparison.is_second => {
            tracing::warn!(
                account,
                "the books differ from what a node says; looking again"
            );
            Ok(Decision::Again)
        }
        Verdict::Equal(look) => {
            rows::write(pool, &account, comparison.at, look).await?;
            Ok(Decision::Done { is_compared: true })
        }
        Verdict::Differs(look) => {
            rows::write(pool, &account, comparison.at, look).await?;
            report(&account, look, "the books differ from the chain");
            Ok(Decision::Done { is_compared: true })
        }
        Verdict::Disputed(look) => {
            report(&account, look, "nodes disagree about what an account holds");
            metrics::counter!("quittance_reconciliation_disputes_total", "account" => account)
                .increment(1);
            Ok(Decision::Done { is_compared: false })
        }
    }
}

fn report(account: &str, look: &Look, what: &str) {
    let (slot, theirs) = (look.balance.slot, look.balance.units);
    let ours = look.ours.map(|units| units.to_string());
    tracing::error!(account, node = look.node, slot, theirs, ours, "{what}");
}
