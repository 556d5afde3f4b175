//! What can go wrong.

use std::io;
use std::time::Duration;

use solana_signature::Signature;
use stack::chain::rpc::RpcError;
use stack::chain::signing::SigningError;
use stack::client::ClientError;
use stack::{ChainError, DeploymentError};

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The stack.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The node.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// A transaction.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The api.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Postgres.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Redis.
    #[error("Redis failed: {0}")]
    Redis(#[from] redis::RedisError),
    /// A server.
    #[error(transparent)]
    Postgres(#[from] stack::postgres::PostgresError),
    /// A server.
    #[error(transparent)]
    RedisServer(#[from] stack::redis::RedisError),
    /// A connection to the api.
    #[error("a connection failed: {0}")]
    Connection(#[from] io::Error),
    /// An answer that is none of a payment.
    #[error("a payment was not answered as it should be: {0}")]
    Answer(String),
    /// A stream that does not say what it should, or says it to others.
    #[error("a stream was not as it should be: {0}")]
    Stream(String),
    /// The system does not let us have so many connections.
    #[error(
        "{needed} open files are needed, but the system allows {allowed}; raise the limit (ulimit -n)"
    )]
    Descriptors {
        /// By this part.
        needed: u64,
        /// To this process.
        allowed: u64,
    },
    /// A program that Quittance is compared with.
    #[error("{0} failed: {1}")]
    Program(&'static str, String),
    /// A queue that Quittance is compared with lost a job.
    #[error("{queue} did not do a job within {} s", limit.as_secs())]
    Lost {
        /// Which.
        queue: &'static str,
        /// The time it had.
        limit: Duration,
    },
    /// The ledger does not say what callers were told.
    #[error("{answered} payments were answered, but the ledger has {posted}")]
    Ledger {
        /// By the api.
        answered: usize,
        /// Transfers.
        posted: i64,
    },
    /// The watcher's metrics.
    #[error("the watcher's metrics cannot be read: {0}")]
    Metrics(#[from] reqwest::Error),
    /// A process of the system.
    #[error("/proc/{0} cannot be read; this program needs Linux")]
    Process(u32),
    /// An invoice does not say how to pay it.
    #[error("an invoice does not say how to pay it: {0}")]
    Unpayable(String),
    /// A payment failed on chain.
    #[error("the payment {signature} failed on chain: {error}")]
    Refused {
        /// Its signature.
        signature: Signature,
        /// Solana's error, as JSON.
        error: serde_json::Value,
    },
    /// Payments were not settled.
    #[error("{unpaid} of {all} invoices were not paid within {} s", limit.as_secs())]
    Unpaid {
        /// So many.
        unpaid: usize,
        /// Of so many.
        all: usize,
        /// How long they were given.
        limit: Duration,
    },
    /// A task ended early.
    #[error("a task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// Signals cannot be received.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// Somebody stopped it.
    #[error("interrupted")]
    Interrupted,
    /// The machine is too slow or too busy.
    #[error("not done within {} s; is the machine busy?", .0.as_secs())]
    TooLong(Duration),
}
