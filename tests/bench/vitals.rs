//! What processes use, and what the watcher counts.

use std::fs;
use std::time::Duration;

use nix::unistd::Pid;
use stack::Deployment;
use stack::offspring::children_of;

use crate::failure::BenchError;

/// The unit of processor time in `/proc` is the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

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
            memory: memory(watcher.pid())?,
            watcher: processor_time(watcher.pid())?.own,
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

fn memory(pid: u32) -> Result<u64, BenchError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    let resident = status.ok().and_then(|status| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    resident.ok_or(BenchError::Process(pid))
}

struct ProcessorTime {
    own: Duration,
    /// Of children that have ended.
    children: Duration,
}

fn processor_time(pid: u32) -> Result<ProcessorTime, BenchError> {
    let read = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name may hold any character, so the fields count from its end.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<u32>().ok();
        Some(ProcessorTime {
            own: TICK * (ticks(11)? + ticks(12)?),
            children: TICK * (ticks(13)? + ticks(14)?),
        })
    };
    read().ok_or(BenchError::Process(pid))
}

fn postgres_time(deployment: &Deployment) -> Result<Duration, BenchError> {
    let process = deployment
        .private_postgres()
        .and_then(stack::Postgres::process);
    let Some(pid) = process.map(|process| process.pid()) else {
        return Ok(Duration::ZERO);
    };
    let server = processor_time(number(pid))?;
    // One that has just ended is in the server's sum from now on.
    let living = children_of(pid)
        .into_iter()
        .filter_map(|child| processor_time(number(child)).ok());
    Ok(server.own + server.children + living.map(|child| child.own).sum::<Duration>())
}

fn chain_time(deployment: &Deployment) -> Result<Duration, BenchError> {
    let process = deployment
        .chain()
        .server()
        .and_then(stack::chain::ChainServer::process);
    process.map_or(Ok(Duration::ZERO), |process| {
        Ok(processor_time(number(process.pid()))?.own)
    })
}

fn number(pid: Pid) -> u32 {
    pid.as_raw().unsigned_abs()
}

/// The machine's size, and what it is busy with.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!("{cores} cores, {build} build; load average before the start {load}")
}
