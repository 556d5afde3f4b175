//! A local Solana chain in one process, for development and tests.
//!
//! It runs until SIGTERM or SIGINT, keeps everything in memory, and tells on standard output (JSON
//! lines) where it listens. A program of its own, so that nothing else has to link the chain.

mod arguments;
mod local_chain;
mod metronome;

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::arguments::{Arguments, ArgumentsError, HELP};
use self::local_chain::{LocalChain, LocalChainError};

const FAILED: u8 = 1;
const MISUSED: u8 = 2;

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error("{0}\n{HELP}")]
    Arguments(#[from] ArgumentsError),
    #[error(transparent)]
    Chain(#[from] LocalChainError),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading any more.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(match error {
                ProgramError::Arguments(_) => MISUSED,
                _ => FAILED,
            })
        }
    }
}

async fn run() -> Result<(), ProgramError> {
    let listen = |kind| signal(kind).map_err(ProgramError::Signals);
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let chain = LocalChain::start(&arguments);
    let mut chain = tokio::select! {
        chain = chain => chain?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    tell(&json!({
        "level": "INFO",
        "message": "listening",
        "rpc_url": chain.rpc_url(),
        "ws_url": chain.ws_url(),
    }));
    // The chain has nothing to finish: all it holds is gone with it anyway.
    tokio::select! {
        reason = chain.ended() => Err(reason.into()),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Prints a line of JSON.
fn tell(line: &Value) {
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
}
