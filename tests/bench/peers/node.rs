//! The queues from npm: the program in this folder, which Node runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use stack::account::Account;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::Peer;
use crate::debit::{DEBIT, TRACE};
use crate::failure::BenchError;

/// Starting and stopping take no longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// The program while it runs. Dropping it ends it.
pub struct Program {
    peer: Peer,
    child: Child,
    /// It runs for as long as this is open.
    input: ChildStdin,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Program {
    /// Starts it for so many callers at once.
    pub async fn start(
        peer: Peer,
        database_url: &str,
        redis_url: &str,
        callers: usize,
    ) -> Result<Self, BenchError> {
        let input = json!({
            "database_url": database_url,
            "redis_url": redis_url,
            "debit": DEBIT,
            "trace": TRACE,
            "callers": callers,
        });
        let input = format!("{input}\n");
        let started = launch(peer, &input);
        tokio::time::timeout(PATIENCE, started)
            .await
            .map_err(|_| BenchError::TooLong(PATIENCE))?
    }

    /// Ends it; an error when it does not end well.
    pub async fn stop(self) -> Result<(), BenchError> {
        let Self {
            peer, child, input, ..
        } = self;
        drop(input);
        tokio::time::timeout(PATIENCE, ended(peer, child))
            .await
            .map_err(|_| BenchError::TooLong(PATIENCE))?
    }
}

async fn launch(peer: Peer, input: &str) -> Result<Program, BenchError> {
    let said = |error: std::io::Error| BenchError::Program(peer.name(), error.to_string());
    let root = stack::checkout::root()
        .map_err(|error| BenchError::Program(peer.name(), error.to_string()))?;
    let folder = root.join("tests/bench/peers");
    let program = folder.join("node_modules/.bin/node");
    if !program.exists() {
        let why = format!(
            "{} is missing; run tests/bench/peers/prerequisites.sh (`make bench` does)",
            program.display()
        );
        return Err(BenchError::Program(peer.name(), why));
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
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(BenchError::Program(
            peer.name(),
            "it has no pipes".to_owned(),
        ));
    };
    // One that ends early does not read; how it ended tells more.
    let _ = stdin.write_all(input.as_bytes()).await;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .await
        .map_err(said)?;
    let Ok(port) = line.trim_end().parse() else {
        drop(stdin);
        ended(peer, child).await?;
        return Err(BenchError::Program(
            peer.name(),
            format!("it printed {line:?} instead of a port"),
        ));
    };
    Ok(Program {
        peer,
        child,
        input: stdin,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    })
}

/// Waits for its end, and tells what it complained about.
async fn ended(peer: Peer, mut child: Child) -> Result<(), BenchError> {
    let said = |error: std::io::Error| BenchError::Program(peer.name(), error.to_string());
    let mut complaint = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaint).await.map_err(said)?;
    }
    let status = child.wait().await.map_err(said)?;
    if status.success() {
        Ok(())
    } else {
        let why = format!("{}, {status}", complaint.trim_end());
        Err(BenchError::Program(peer.name(), why))
    }
}
