//! The books against the chain: what each deposit account held in a final slot, and what it held then by the books.
//!
//! The chain is asked first and its answer kept; the books are asked once they are complete up to that slot. Until then
//! nothing is said, and the age of the last comparison tells. What differs is looked at again, and again, before it is
//! believed: there are nodes that show a balance in the middle of a slot.

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
/// A difference is believed once so many looks have shown one.
const LOOKS: u32 = 4;
/// The pause between them.
const AGAIN: Duration = Duration::from_secs(2);
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
    /// How many looks it is.
    looked: u32,
}

/// An account that differed, and when it is looked at again.
struct Doubt {
    account: DepositAccount,
    looked: u32,
    due: Instant,
}

/// Compares accounts; what the chain said is kept from one round to the next.
pub struct Reconciler {
    pool: PgPool,
    nodes: Nodes,
    open: BTreeMap<String, Comparison>,
    doubts: BTreeMap<String, Doubt>,
    compared: BTreeSet<String>,
}

impl Reconciler {
    /// With these nodes.
    pub fn new(pool: PgPool, nodes: Nodes) -> Self {
        Self {
            pool,
            nodes,
            open: BTreeMap::new(),
            doubts: BTreeMap::new(),
            compared: BTreeSet::new(),
        }
    }

    /// Whether an account was compared since the start.
    pub fn has_compared(&self, account: &str) -> bool {
        self.compared.contains(account)
    }

    /// The accounts that wait for their books.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.open
            .keys()
            .chain(self.doubts.keys())
            .map(String::as_str)
    }

    /// Asks the chain about every account that does not wait for its books already.
    pub async fn take(&mut self) -> Result<(), ReconcileError> {
        self.open
            .retain(|_, comparison| comparison.taken.elapsed() < KEPT);
        let accounts = rows::followed(&self.pool).await?;
        let due = accounts
            .into_iter()
            .map(|account| (account, 1))
            .filter(|(account, _)| {
                let key = account.account.to_string();
                !self.open.contains_key(&key) && !self.doubts.contains_key(&key)
            });
        self.ask(due.collect()).await?;
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
            self.doubt().await?;
            self.compare_ready().await?;
            if self.waiting().next().is_none() || is_stopping() || Instant::now() >= deadline {
                return Ok(());
            }
            tokio::time::sleep(POLL.min(limit)).await;
        }
    }

    /// Asks again about what differed.
    async fn doubt(&mut self) -> Result<(), sqlx::Error> {
        let now = Instant::now();
        let due = self.doubts.extract_if(.., |_, doubt| doubt.due <= now);
        let due: Vec<_> = due
            .map(|(_, doubt)| (doubt.account, doubt.looked + 1))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        self.ask(due).await
    }

    async fn ask(&mut self, accounts: Vec<(DepositAccount, u32)>) -> Result<(), sqlx::Error> {
        let at = rows::now(&self.pool).await?;
        let nodes = &self.nodes;
        let asked = accounts
            .into_iter()
            .map(async |(account, looked)| (look::at(nodes, &account).await, account, looked));
        for (looks, account, looked) in join_all(asked).await {
            if looks.is_empty() {
                tracing::warn!(account = %account.account, "no node says what this account holds");
                continue;
            }
            let comparison = Comparison {
                at,
                taken: Instant::now(),
                looks,
                begun: None,
                looked,
                account,
            };
            self.open
                .insert(comparison.account.account.to_string(), comparison);
        }
        Ok(())
    }

    async fn compare_ready(&mut self) -> Result<(), ReconcileError> {
        let mut failed = None;
        let keys: Vec<String> = self.open.keys().cloned().collect();
        for key in keys {
            let Some(comparison) = self.open.get_mut(&key) else {
                continue;
            };
            match decide(&self.pool, comparison).await {
                Ok(Decision::Wait) => {}
                Ok(Decision::Again) => {
                    if let Some(comparison) = self.open.remove(&key) {
                        let doubt = Doubt {
                            account: comparison.account,
                            looked: comparison.looked,
                            due: Instant::now() + AGAIN,
                        };
                        self.doubts.insert(key, doubt);
                    }
                }
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
        Verdict::Differs(_) | Verdict::Disputed(_) if comparison.looked < LOOKS => {
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
