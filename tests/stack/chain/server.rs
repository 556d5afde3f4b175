//! A local chain: the program `quittance-chain` on free loopback ports, everything in memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::account::Account;
use crate::checkout::{CheckoutError, program};
use crate::port::free_port;
use crate::process::{Process, ProcessError};

/// The program.
pub const CHAIN: &str = "quittance-chain";
/// Finality takes 31 slots, so this is about 1.6 s. A real validator's slots take 400 ms or less.
pub const SLOT: Duration = Duration::from_millis(50);
/// For a chain on which a person signs: a transaction can land for 150 slots, so this leaves more than a minute. Finality
/// takes about 16 s.
pub const SLOT_FOR_PEOPLE: Duration = Duration::from_millis(500);
/// Slots until a block is final.
pub const FINAL_AFTER: u32 = 31;

const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const PORTS_TRIED: u32 = 10;
const SAME_PORT_LIMIT: Duration = Duration::from_secs(10);
const SAME_PORT_POLL: Duration = Duration::from_millis(100);
/// What the program says when somebody else took its port in the meantime.
const PORT_TAKEN: &str = "is already in use";

/// Why a local chain could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No port was free.
    #[error("no free loopback port was found for the chain: {0}")]
    NoPort(io::Error),
    /// The chain's own port was taken while it was down.
    #[error("port {0} or {1} was taken by another program while the chain was down")]
    PortsLost(u16, u16),
    /// The chain is already running, or not running.
    #[error("the chain {0}")]
    WrongMoment(&'static str),
    /// The program was not found.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// The process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// A running local chain. Dropping it ends it; what it held is gone with it.
pub struct ChainServer {
    slot: Duration,
    log: Option<PathBuf>,
    rpc_port: u16,
    ws_port: u16,
    running: Mutex<Option<Arc<Process>>>,
}

impl ChainServer {
    /// Starts an empty chain with slots of this length, and waits until it answers.
    pub async fn start(slot: Duration, log: Option<&Path>) -> Result<Self, ServerError> {
        let mut server = Self {
            slot,
            log: log.map(Path::to_owned),
            rpc_port: 0,
            ws_port: 0,
            running: Mutex::new(None),
        };
        for _ in 0..PORTS_TRIED {
            server.rpc_port = free_port().map_err(ServerError::NoPort)?;
            server.ws_port = free_port().map_err(ServerError::NoPort)?;
            if server.rpc_port != server.ws_port && server.launch().await? {
                return Ok(server);
            }
        }
        Err(ServerError::NoPort(io::Error::other(
            "each was taken at the last moment",
        )))
    }

    /// Starts the process; false when a port was taken.
    async fn launch(&self) -> Result<bool, ServerError> {
        let mut command = Account::ourselves().command(program(CHAIN)?, Signal::SIGKILL);
        let numbers = [
            ("--slot-ms", self.slot.as_millis().to_string()),
            ("--rpc-port", self.rpc_port.to_string()),
            ("--ws-port", self.ws_port.to_string()),
        ];
        for (flag, number) in numbers {
            command.args([flag, &number]);
        }
        let process = Process::start(CHAIN, command, self.log.as_deref())?;
        let ready = process.until_ready(READY_LIMIT, async || process.lines().find(listening));
        if let Err(error) = ready.await {
            let taken = |line: &str| line.contains(PORT_TAKEN).then_some(());
            return if process.lines().find(taken).is_some() {
                Ok(false)
            } else {
                Err(error.into())
            };
        }
        *self.running_now() = Some(Arc::new(process));
        Ok(true)
    }

    fn running_now(&self) -> MutexGuard<'_, Option<Arc<Process>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process, while there is one.
    #[must_use]
    pub fn process(&self) -> Option<Arc<Process>> {
        self.running_now().clone()
    }

    fn running(&self) -> Result<Arc<Process>, ServerError> {
        self.process()
            .ok_or(ServerError::WrongMoment("is not running"))
    }

    fn take(&self) -> Result<Arc<Process>, ServerError> {
        self.running_now()
            .take()
            .ok_or(ServerError::WrongMoment("is not running"))
    }

    /// How long a slot takes.
    #[must_use]
    pub fn slot(&self) -> Duration {
        self.slot
    }

    /// Where JSON-RPC is.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rpc_port)
    }

    /// Where subscriptions are.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ws_port)
    }

    /// The port of JSON-RPC.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.rpc_port
    }

    /// Stops the chain. What it held is gone.
    pub async fn stop(&self) -> Result<(), ServerError> {
        self.take()?.stop(Signal::SIGTERM, STOP_LIMIT).await?;
        Ok(())
    }

    /// Kills the chain at once. What it held is gone.
    pub async fn kill(&self) -> Result<(), ServerError> {
        self.take()?.kill().await;
        Ok(())
    }

    /// Starts the chain again after `stop` or `kill`: an empty one, on the same ports.
    pub async fn start_again(&self) -> Result<(), ServerError> {
        if self.process().is_some() {
            return Err(ServerError::WrongMoment("is already running"));
        }
        let deadline = Instant::now() + SAME_PORT_LIMIT;
        while !self.launch().await? {
            if Instant::now() >= deadline {
                return Err(ServerError::PortsLost(self.rpc_port, self.ws_port));
            }
            tokio::time::sleep(SAME_PORT_POLL).await;
        }
        Ok(())
    }

    /// Freezes the chain: connections stay open and get no answer, and no slot passes.
    pub async fn pause(&self) -> Result<(), ServerError> {
        Ok(self.running()?.pause().await?)
    }

    /// Lets a frozen chain go on.
    pub fn resume(&self) -> Result<(), ServerError> {
        Ok(self.running()?.resume()?)
    }
}

fn listening(line: &str) -> Option<()> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line.get("message")? == "listening").then_some(())
}
