//! Starts the watcher.

use std::process::ExitCode;

use shared::config::{Config, ConfigError, Process};
use shared::telemetry::log_failure;
use watcher::run;

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
            "usage: quittance-watcher\n\nFollows the chain until SIGTERM. Settings: shared/src/config/default.toml"
        );
        return if asked {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    }
    match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log_failure("quittance-watcher failed", &failure);
            eprint!("quittance-watcher: {failure}");
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

fn watch() -> Result<(), Failure> {
    let config = Config::load(Process::Watcher)?;
    Ok(config.process.runtime()?.block_on(run::run(config))?)
}
