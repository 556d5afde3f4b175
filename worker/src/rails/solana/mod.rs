//! Broadcasting signed transactions: sent until they land or cannot any more, and looked after until they are final.
//!
//! The rows of `relay_transactions` are the truth, and every step can be repeated: a worker may die anywhere, and any
//! number of them may work at once. Nothing here touches an invoice; the watcher decides what was paid.

mod agreement;
mod broadcast;
mod rows;
mod signals;
mod tracking;

use std::time::Duration;

use shared::chain::{NodeError, Nodes};
use shared::config::Config;
use sqlx::PgPool;

/// Why a step failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// No node answered.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Sends and follows transactions. Cheap to clone.
#[derive(Clone)]
pub struct Broadcaster {
    pool: PgPool,
    nodes: Nodes,
    /// Between two sends of one transaction.
    resend: Duration,
    /// How long whoever took a row may keep it from the others.
    hold: Duration,
    /// The longest the first broadcast may take.
    patience: Duration,
}

impl Broadcaster {
    /// Through these nodes.
    pub fn new(pool: PgPool, nodes: Nodes, config: &Config) -> Self {
        let hold = Duration::from_millis(config.chain.relay_handler_timeout_ms);
        Self {
            pool,
            nodes,
            resend: Duration::from_millis(config.chain.relay_resend_interval_ms),
            hold,
            // The rest is for the database.
            patience: hold * 4 / 5,
        }
    }
}
