//! The commands of the program `stack`.

mod demonstration;
mod dev_folder;
mod faucet;
mod interrupts;
mod local;
mod screen;
mod up;
mod with_servers;

use std::io;
use std::process::ExitCode;

use self::dev_folder::DevFolderError;
use self::screen::{complain, say};
use crate::account::AccountError;
use crate::chain::ChainError;
use crate::checkout::CheckoutError;
use crate::client::ClientError;
use crate::data_folder::DataFolderError;
use crate::database::DatabaseError;
use crate::postgres::PostgresError;
use crate::redis::RedisError;
use crate::service::ServiceError;

const HELP: &str = "\
stack up                    start Quittance here and stay until Ctrl-C; data is kept in .dev/data
                            (QUITTANCE_PORT: the api's port, default 8080;
                            other QUITTANCE_ settings are passed on)
stack test -- COMMAND       run COMMAND with a temporary Postgres, Redis and chain for tests
stack database -- COMMAND   run COMMAND with DATABASE_URL of a temporary database that has
                            the schema of the files in migrations/
stack help                  print this

With SOLANA_RPC_URL (and SOLANA_WS_URL) of a validator, `up` and `test` use that one instead of a
local chain.
";

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
const FAILED: u8 = 1;
const MISUSED: u8 = 2;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The port is in use.
    #[error(
        "port {port} is in use by another program; choose another one: QUITTANCE_PORT={} make up",
        port.checked_add(1).unwrap_or(8080)
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on port {port} ({source}); choose another one with QUITTANCE_PORT")]
    PortRefused {
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// `QUITTANCE_PORT` is no port.
    #[error("QUITTANCE_PORT is `{0}`, but must be a port number such as 8080")]
    NotAPort(String),
    /// A part ended by itself.
    #[error("everything was stopped, because {0}")]
    Died(String),
    /// The api offers no rails.
    #[error(
        "the api offered no rails within {0} s: no watcher follows the deposit accounts; see .dev/log/watcher.log"
    )]
    NoRails(u64),
    /// The demonstration's stream ended early.
    #[error("the {stream} stream was closed before it said `{event}`")]
    StreamEnded {
        /// Which stream.
        stream: &'static str,
        /// What it should have said.
        event: &'static str,
    },
    /// Something did not stop cleanly.
    #[error("not everything stopped cleanly:\n  {0}")]
    Unclean(String),
    /// The command could not be started.
    #[error("cannot run `{command}`: {source}")]
    Run {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// Accounts.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The checkout.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// The folder for the data.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The folder `.dev`.
    #[error(transparent)]
    DevFolder(#[from] DevFolderError),
    /// Postgres.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// Redis.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A process of Quittance.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A call.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The faucet.
    #[error("cannot start the faucet: {0}")]
    Faucet(io::Error),
}

/// Runs the command that the arguments name.
pub async fn run(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["up"] => up::up().await,
        ["test", "--", _, ..] => with_servers::test(&arguments[2..]).await,
        ["database", "--", _, ..] => with_servers::database(&arguments[2..]).await,
        ["help" | "--help" | "-h"] => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        _ => {
            complain(&format!("usage:\n{HELP}"));
            return ExitCode::from(MISUSED);
        }
    };
    outcome.map_or_else(
        |error| {
            complain(&format!("error: {error}"));
            ExitCode::from(FAILED)
        },
        ExitCode::from,
    )
}
