//! The HTTP process: authenticates, checks shape, enqueues, waits, answers. Business rules run in the worker or
//! in the database's settlement functions; a request that is dropped half-way loses nothing.

mod app;
mod blockhashes;
mod commands;
mod deposits;
mod followed;
mod http;
mod hub;
mod run;
mod session;
mod streams;
mod surfaces;
mod token_accounts;
mod turns;
mod wallet;

use std::process::ExitCode;

use shared::config::{Config, ConfigError, Process};
use shared::telemetry::log_failure;

/// Why the process ended badly.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Run(#[from] run::RunError),
    #[error("the runtime cannot be started")]
    Runtime(#[from] std::io::Error),
}

fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        let asked = matches!(argument.as_str(), "help" | "--help" | "-h");
        eprintln!(
            "usage: quittance-api\n\nServes until SIGTERM. Settings: shared/src/config/default.toml"
        );
        return if asked {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log_failure("quittance-api failed", &failure);
            eprint!("quittance-api: {failure}");
            let mut source = std::error::Error::source(&failure);
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Failure> {
    let config = Config::load(Process::Api)?;
    Ok(config.process.runtime()?.block_on(run::run(config))?)
}
