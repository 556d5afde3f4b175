//! What processes use, and what the watcher counts.

use std::time::Duration;

use stack::Deployment;

use crate::failure::BenchError;
use crate::processes::{family_time, memory_kib, number, own_time};

/// What was used and counted since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vitals {
    /// The watcher's memory (RSS), KiB.
    pub memory: u64,
    /// The watcher's processor time.
    pub watcher: Duration,
    /// The processor time of Postgres, its children included.
    pub postgres: Duration,
    /// The chain's processor time.
    pub chain: Duration,
    /// Transactions that the watcher has examined when they were confirmed.
    pub examined: u64,
    /// Notifications that its subscription has had.
    pub notified: u64,
    /// Calls to the node that got no answer, and rounds of work that failed.
    pub failures: u64,
}

impl Vitals {
    /// Reads them now.
    pub async fn read(deployment: &Deployment) -> Result<Self, BenchError> {
        let watcher = deployment.watcher(0);
        let url = format!("{}/metrics", watcher.url());
        let client = reqwest::Client::builder().no_proxy().build()?;
        let metrics = client.get(url).send().await?.text().await?;
        let failures = [
            "quittance_node_failures_total",
            "quittance_watch_failures_total",
            "quittance_watch_reconnects_total",
        ];
        Ok(Self {
            memory: memory_kib(watcher.pid())?,
            watcher: own_time(watcher.pid())?,
            postgres: postgres_time(deployment)?,
            chain: chain_time(deployment)?,
            examined: counted(&metrics, "quittance_chain_examination_seconds_count"),
            notified: counted(&metrics, "quittance_watch_notifications_total"),
            failures: failures.iter().map(|name| counted(&metrics, name)).sum(),
        })
    }

    /// What was used and counted since `before`; memory is as it is.
    pub fn since(self, before: Self) -> Self {
        Self {
            memory: self.memory,
            watcher: self.watcher.saturating_sub(before.watcher),
            postgres: self.postgres.saturating_sub(before.postgres),
            chain: self.chain.saturating_sub(before.chain),
            examined: self.examined.saturating_sub(before.examined),
            notified: self.notified.saturating_sub(before.notified),
            failures: self.failures.saturating_sub(before.failures),
        }
    }
}

/// The sum of a metric's values, whatever its labels.
fn counted(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<u64>().ok())?
    });
    values.sum()
}

fn postgres_time(deployment: &Deployment) -> Result<Duration, BenchError> {
    let process = deployment
        .private_postgres()
        .and_then(stack::Postgres::process);
    process.map_or(Ok(Duration::ZERO), |process| family_time(process.pid()))
}

fn chain_time(deployment: &Deployment) -> Result<Duration, BenchError> {
    let process = deployment
        .chain()
        .server()
        .and_then(stack::chain::ChainServer::process);
    process.map_or(Ok(Duration::ZERO), |process| {
        own_time(number(process.pid()))
    })
}
