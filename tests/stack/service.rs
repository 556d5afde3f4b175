//! One running process of Quittance: an api, a worker or a watcher.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::account::Account;
use crate::checkout::{CheckoutError, program};
use crate::process::{Process, ProcessError, QUOTED_LINES};
use crate::settings::{ANY_PORT, Settings};

/// The program of the HTTP process.
pub const API: &str = "quittance-api";
/// The program of the job process.
pub const WORKER: &str = "quittance-worker";
/// The program of the process that follows the chain.
pub const WATCHER: &str = "quittance-watcher";

const LISTENING_LIMIT: Duration = Duration::from_mins(1);
const READY_LIMIT: Duration = Duration::from_mins(1);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_secs(45);
const COMMAND_LIMIT: Duration = Duration::from_mins(2);

/// Why a process of Quittance could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The program was not found.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// The process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A command ended with an error.
    #[error("`{command}` failed ({status}); its last lines:{tail}")]
    Command {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        tail: String,
    },
    /// A command takes for ever.
    #[error("`{command}` did not end within {} s; its last lines:{tail}", COMMAND_LIMIT.as_secs())]
    CommandStuck {
        /// The command.
        command: String,
        /// Its last lines.
        tail: String,
    },
}

/// A running api, worker or watcher. Dropping it kills it.
pub struct Service {
    process: Process,
    url: String,
    /// True once it was killed on purpose, so that its exit status means nothing.
    killed: AtomicBool,
}

impl Service {
    /// Starts an api process and waits until it listens.
    pub async fn start_api(
        settings: &Settings,
        listen: &str,
        log: Option<&Path>,
    ) -> Result<Self, ServiceError> {
        Self::start(API, &settings.for_api(listen), log).await
    }

    /// Starts a worker process and waits until it listens.
    pub async fn start_worker(
        settings: &Settings,
        log: Option<&Path>,
    ) -> Result<Self, ServiceError> {
        Self::start(WORKER, &settings.for_worker(ANY_PORT), log).await
    }

    /// Starts a watcher process and waits until it listens.
    pub async fn start_watcher(
        settings: &Settings,
        log: Option<&Path>,
    ) -> Result<Self, ServiceError> {
        Self::start(WATCHER, &settings.for_watcher(ANY_PORT), log).await
    }

    /// Starts one of Quittance's programs with exactly this environment and waits until it listens.
    pub async fn start(
        name: &str,
        environment: &BTreeMap<String, String>,
        log: Option<&Path>,
    ) -> Result<Self, ServiceError> {
        let mut command = Account::ourselves().command(program(name)?, Signal::SIGKILL);
        command.env_clear().envs(environment);
        let process = Process::start(name, command, log)?;
        let address =
            process.until_ready(LISTENING_LIMIT, async || process.lines().find(listening));
        let url = format!("http://{}", address.await?);
        Ok(Self {
            process,
            url,
            killed: AtomicBool::new(false),
        })
    }

    /// Where it serves HTTP.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid().as_raw().unsigned_abs()
    }

    /// The process itself.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its last lines of output (JSON), oldest first.
    #[must_use]
    pub fn logs(&self) -> Vec<String> {
        self.process.lines().all()
    }

    /// Waits until a line of its output contains the text, and returns that line.
    pub async fn wait_for_log(&self, text: &str, limit: Duration) -> Result<String, ServiceError> {
        let found = |line: &str| line.contains(text).then(|| line.to_owned());
        Ok(self
            .process
            .until_ready(limit, async || self.process.lines().find(found))
            .await?)
    }

    /// Waits until it says that it can do its work (`/readyz`).
    pub async fn wait_until_ready(&self) -> Result<(), ServiceError> {
        let url = format!("{}/readyz", self.url);
        let ready = async || is_ready(&url).await.then_some(());
        Ok(self.process.until_ready(READY_LIMIT, ready).await?)
    }

    /// True once it was killed on purpose.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Asks it to stop (SIGTERM) and waits, for a bounded time. Asking again returns the same
    /// answer.
    pub async fn terminate(&self) -> Result<ExitStatus, ServiceError> {
        if let Some(status) = self.process.exited() {
            return Ok(status);
        }
        Ok(self.process.stop(Signal::SIGTERM, STOP_LIMIT).await?)
    }

    /// Kills it at once (SIGKILL).
    pub async fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.process.kill().await;
    }

    /// Freezes it (SIGSTOP).
    pub async fn pause(&self) -> Result<(), ServiceError> {
        Ok(self.process.pause().await?)
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) -> Result<(), ServiceError> {
        Ok(self.process.resume()?)
    }
}

/// Runs `quittance-worker <argument>` to its end, which must be a good one.
pub async fn run_worker_command(
    argument: &str,
    environment: &BTreeMap<String, String>,
) -> Result<(), ServiceError> {
    let (status, process) = worker_command(argument, environment).await?;
    if status.success() {
        return Ok(());
    }
    let command = format!("{WORKER} {argument}");
    let tail = process.lines().tail(QUOTED_LINES);
    Err(ServiceError::Command {
        command,
        status,
        tail,
    })
}

/// Runs `quittance-worker audit` to its end and returns what it found.
pub async fn run_audit(environment: &BTreeMap<String, String>) -> Result<Value, ServiceError> {
    run_report("audit", environment).await
}

/// Runs `quittance-worker <argument>` to its end, good or bad, and returns the JSON that it prints.
pub async fn run_report(
    argument: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Value, ServiceError> {
    let (status, process) = worker_command(argument, environment).await?;
    // Log lines are JSON, too, but only the report's outermost braces stand alone, and only its inner lines are indented.
    let is_of_report = |line: &String| line == "{" || line == "}" || line.starts_with(' ');
    let lines = process.lines().all().into_iter().filter(is_of_report);
    let found = serde_json::from_str(&lines.collect::<Vec<_>>().join("\n")).ok();
    found.ok_or_else(|| ServiceError::Command {
        command: format!("{WORKER} {argument}"),
        status,
        tail: process.lines().tail(QUOTED_LINES),
    })
}

async fn worker_command(
    argument: &str,
    environment: &BTreeMap<String, String>,
) -> Result<(ExitStatus, Process), ServiceError> {
    let mut command = Account::ourselves().command(program(WORKER)?, Signal::SIGKILL);
    command.arg(argument).env_clear().envs(environment);
    let process = Process::start(WORKER, command, None)?;
    match process.wait(COMMAND_LIMIT).await {
        Some(status) => Ok((status, process)),
        None => Err(ServiceError::CommandStuck {
            command: format!("{WORKER} {argument}"),
            tail: process.lines().tail(QUOTED_LINES),
        }),
    }
}

/// The address in a log line that says where the process listens.
fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_it = line.get("message")?.as_str()? == "listening";
    is_it
        .then(|| line.get("address")?.as_str().map(str::to_owned))
        .flatten()
}

async fn is_ready(url: &str) -> bool {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PROBE_LIMIT)
        .build();
    let Ok(client) = client else { return false };
    client
        .get(url)
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_right_line_only() {
        let line = r#"{"level":"INFO","message":"listening","address":"127.0.0.1:43121"}"#;
        assert_eq!(listening(line).as_deref(), Some("127.0.0.1:43121"));
        assert_eq!(
            listening(r#"{"message":"starting","address":"127.0.0.1:1"}"#),
            None
        );
        assert_eq!(listening(r#"{"message":"listening"}"#), None);
        assert_eq!(listening("listening on 127.0.0.1:1"), None);
    }
}
