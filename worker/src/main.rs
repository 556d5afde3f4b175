//! The job process, and the commands that need a database: `quittance-worker [run | migrate | audit | reconcile]`.

mod group_commit;
mod jobs;
mod pauses;
mod rails;
mod reconcile;
mod registry;
mod run;
mod sweeps;

use std::process::ExitCode;
use std::time::Duration;

use shared::chain::Nodes;
use shared::config::{Config, ConfigError, Process};
use shared::db::{self, DatabaseError};
use shared::ledger::{self, LedgerError};
use shared::schema::{self, SchemaError};
use shared::telemetry::log_failure;

use crate::reconcile::Reconciler;

/// How long the command waits for books that are behind the chain.
const RECONCILE_WAIT: Duration = Duration::from_secs(90);

const USAGE: &str = "usage: quittance-worker [COMMAND]

  run       work until SIGTERM (the default)
  migrate   bring the database of DATABASE_URL up to date; needs its owner's role
  audit     check the ledger's invariants; prints JSON, exit code 1 when one is broken
  reconcile compare the books with the chain now; prints JSON, exit code 1 when an account differs or cannot be compared
";

/// Why the process ended badly.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Run(#[from] run::RunError),
    #[error(transparent)]
    Reconcile(#[from] reconcile::ReconcileError),
    #[error("SOLANA_RPC_URL is required: the books are compared with what nodes say")]
    NoNodes,
    #[error("what was found cannot be printed")]
    Print(#[from] serde_json::Error),
    #[error("the runtime cannot be started")]
    Runtime(#[from] std::io::Error),
}

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_else(|| "run".to_owned());
    let result = match command.as_str() {
        "run" => work(),
        "migrate" => migrate(),
        "audit" => audit(),
        "reconcile" => reconcile(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("quittance-worker: no command {command:?}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|failure| {
        log_failure("quittance-worker failed", &failure);
        eprintln!("quittance-worker: {}", with_causes(&failure));
        ExitCode::FAILURE
    })
}

fn with_causes(failure: &dyn std::error::Error) -> String {
    let mut text = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn work() -> Result<ExitCode, Failure> {
    let config = Config::load(Process::Worker)?;
    config.process.runtime()?.block_on(run::run(config))?;
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn migrate() -> Result<ExitCode, Failure> {
    schema::migrate(&Config::load(Process::Command)?.database).await?;
    println!("the database is up to date");
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn audit() -> Result<ExitCode, Failure> {
    let pool = db::pool(&Config::load(Process::Command)?.database, "quittance-audit")?;
    let audit = ledger::audit(&pool, ledger::AUDIT_LIMIT).await?;
    println!("{}", serde_json::to_string_pretty(&audit)?);
    Ok(if audit.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn reconcile() -> Result<ExitCode, Failure> {
    let config = Config::load(Process::Command)?;
    let nodes = Nodes::new(&config.chain).ok_or(Failure::NoNodes)?;
    let pool = db::pool(&config.database, "quittance-reconcile")?;
    let mut reconciler = Reconciler::new(pool.clone(), nodes);
    eprintln!("asking the chain");
    reconciler.take().await?;
    for account in reconciler.waiting() {
        eprintln!("{account}: waiting for the books of its slot");
    }
    reconciler.compare(RECONCILE_WAIT, || false).await?;
    let found = ledger::reconciliation(&pool).await?;
    println!("{}", serde_json::to_string_pretty(&found)?);
    let left: Vec<&str> = found
        .accounts
        .iter()
        .map(|books| books.account.as_str())
        .filter(|account| !reconciler.has_compared(account))
        .collect();
    for account in &left {
        eprintln!("{account}: could not be compared");
    }
    Ok(if found.ok && left.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
