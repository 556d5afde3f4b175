//! The queues from npm: the program in this folder, which Node runs.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::json;
use stack::account::Account;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Job, Measured, Peer};
use crate::debit::{DEBIT, TRACE};
use crate::failure::BenchError;
use crate::load::Run;

/// Beside the time that is measured, the program takes no longer. It gives up by itself before.
const SLACK: Duration = Duration::from_secs(40);

/// The line that the program prints.
#[derive(Deserialize)]
struct Printed {
    warmed: usize,
    paid: usize,
    elapsed_us: u64,
    latencies_us: Vec<u64>,
}

/// Has the program call.
pub async fn measure(
    peer: Peer,
    database_url: &str,
    redis_url: &str,
    jobs: &[Job],
    callers: usize,
    time: Duration,
) -> Result<Measured, BenchError> {
    let jobs: Vec<_> = jobs.iter().map(|job| (&job.invoice, job.user)).collect();
    let input = json!({
        "database_url": database_url,
        "redis_url": redis_url,
        "debit": DEBIT,
        "trace": TRACE,
        "callers": callers,
        "time_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        "jobs": jobs,
    });
    let limit = time + SLACK;
    let failed = |why: String| BenchError::Program(peer.name(), why);
    let line = tokio::time::timeout(limit, run(peer, &input.to_string()))
        .await
        .map_err(|_| BenchError::TooLong(limit))?
        .map_err(failed)?;
    let Printed {
        warmed,
        paid,
        elapsed_us,
        latencies_us,
    } = serde_json::from_slice(&line).map_err(|error| failed(error.to_string()))?;
    let run = Run {
        paid,
        elapsed: Duration::from_micros(elapsed_us),
        latencies: latencies_us
            .into_iter()
            .map(Duration::from_micros)
            .collect(),
    };
    Ok(Measured { run, warmed })
}

/// Runs the program; returns what it prints, or what it complains about.
async fn run(peer: Peer, input: &str) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| error.to_string();
    let root = stack::checkout::root().map_err(|error| error.to_string())?;
    let folder = root.join("tests/bench/peers");
    let program = folder.join("node_modules/.bin/node");
    if !program.exists() {
        return Err(format!(
            "{} is missing; run tests/bench/peers/prerequisites.sh (`make bench` does)",
            program.display()
        ));
    }
    let mut command = Account::ourselves().command(program, Signal::SIGKILL);
    command.args(["main.js", peer.name()]).current_dir(folder);
    let mut child = Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(said)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends early does not read; how it ended tells more.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(said)?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}, {}", complaint.trim_end(), output.status))
    }
}
