//! What the deposit wallet can take: the chain refuses a transfer of SOL that leaves an account with less than the
//! rent-exempt minimum, so an invoice over so little could never be paid.

use std::time::{Duration, Instant};

use shared::chain::{NodeError, Nodes};
use solana_pubkey::Pubkey;
use tokio::sync::Mutex;

/// How long a wallet is believed to be funded: emptying one is rare.
const FUNDED_FOR: Duration = Duration::from_mins(1);
/// How long a wallet is believed to be too empty, and a failed reading is not repeated.
const UNFUNDED_FOR: Duration = Duration::from_secs(3);

/// The wallet that payments go to. Asked by many, read by one at a time.
pub struct DepositWallet {
    nodes: Nodes,
    key: Pubkey,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    fact: Result<Fact, NodeError>,
    /// When to read again.
    due_at: Instant,
}

/// What the chain said, lamports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fact {
    balance: u64,
    minimum: u64,
}

impl Fact {
    fn takes(self, lamports: u64) -> bool {
        self.balance.saturating_add(lamports) >= self.minimum
    }

    fn holds_for(self) -> Duration {
        if self.takes(0) {
            FUNDED_FOR
        } else {
            UNFUNDED_FOR
        }
    }
}

impl DepositWallet {
    /// The wallet at this address; `None` without an address.
    pub fn new(nodes: Nodes, address: &str) -> Option<Self> {
        Some(Self {
            nodes,
            key: address.parse().ok()?,
            known: Mutex::default(),
        })
    }

    /// Whether a transfer of so many lamports can land. While no node answers, what was known last holds; an error
    /// is for a wallet of which nothing was ever known.
    pub async fn takes(&self, lamports: u64) -> Result<bool, NodeError> {
        let mut known = self.known.lock().await;
        // A copy: a caller who leaves while waiting for a node takes nothing away.
        let now = match known.clone() {
            Some(now) if Instant::now() < now.due_at => now,
            before => {
                let now = self.renewed(before).await;
                *known = Some(now.clone());
                now
            }
        };
        now.fact.map(|fact| fact.takes(lamports))
    }

    async fn renewed(&self, before: Option<Known>) -> Known {
        let (fact, holds_for) = match self.read().await {
            Ok(fact) => (Ok(fact), fact.holds_for()),
            Err(error) => {
                let fact = before.and_then(|before| before.fact.ok()).ok_or(error);
                (fact, UNFUNDED_FOR)
            }
        };
        Known {
            fact,
            due_at: Instant::now() + holds_for,
        }
    }

    async fn read(&self) -> Result<Fact, NodeError> {
        let (account, minimum) = tokio::try_join!(
            self.nodes.account(&self.key),
            // The minimum of an account without data changes with the network; it is never a constant of ours.
            self.nodes.rent_exempt_minimum(0),
        )?;
        Ok(Fact {
            balance: account.map_or(0, |account| account.lamports),
            minimum,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balance_and_payment_together_reach_the_minimum() {
        let minimum = 890_880;
        let cases = [
            (0, 890_879, false),
            (0, 890_880, true),
            (1, 890_879, true),
            (500_000, 390_879, false),
            (500_000, 390_880, true),
            (890_880, 0, true),
            (u64::MAX, u64::MAX, true),
        ];
        for (balance, lamports, expected) in cases {
            let fact = Fact { balance, minimum };
            assert_eq!(fact.takes(lamports), expected, "{balance} {lamports}");
        }
    }
}
