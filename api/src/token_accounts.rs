//! Whether token accounts exist, for transactions that make the missing ones. Each is asked for by many, read by one at a
//! time, and believed for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::chain::{NodeError, Nodes};
use solana_pubkey::Pubkey;

/// How long a failed look-up is not repeated.
const FAILED_FOR: Duration = Duration::from_millis(500);

/// Accounts that were looked up: those of our deposit wallets, so a handful.
pub struct TokenAccounts {
    nodes: Nodes,
    existing_for: Duration,
    missing_for: Duration,
    known: Mutex<HashMap<Pubkey, Arc<Place>>>,
}

/// What is known of one account.
type Place = tokio::sync::Mutex<Option<Known>>;

#[derive(Clone)]
struct Known {
    exists: Result<bool, NodeError>,
    /// When to look again.
    due_at: Instant,
}

impl TokenAccounts {
    /// By these nodes. One that exists is believed for longer than one that is missing: it is emptied, but hardly ever
    /// closed.
    pub fn new(nodes: Nodes, existing_for: Duration, missing_for: Duration) -> Self {
        Self {
            nodes,
            existing_for,
            missing_for,
            known: Mutex::default(),
        }
    }

    /// Whether this account of ours exists.
    pub async fn exists(&self, account: &Pubkey) -> Result<bool, NodeError> {
        let place = self.place(account);
        let mut known = place.lock().await;
        if let Some(now) = known.as_ref().filter(|now| Instant::now() < now.due_at) {
            return now.exists.clone();
        }
        let exists = self
            .nodes
            .account(account)
            .await
            .map(|found| found.is_some());
        let believed_for = match exists {
            Ok(true) => self.existing_for,
            Ok(false) => self.missing_for,
            Err(_) => FAILED_FOR.min(self.missing_for),
        };
        *known = Some(Known {
            exists: exists.clone(),
            due_at: Instant::now() + believed_for,
        });
        exists
    }

    fn place(&self, account: &Pubkey) -> Arc<Place> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(*account).or_default())
    }
}
