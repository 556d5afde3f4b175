//! Sending: the first time with a look ahead, to all nodes at once.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use shared::chain::{Commitment, NodeError, RelayOutcome};
use solana_hash::Hash;
use solana_transaction::versioned::VersionedTransaction;
use tokio::time::timeout;

use super::rows::{self, Claim, Relayed};
use super::signals::{self, Forecast, Sent};
use super::{Broadcaster, RelayError};

/// For how many blocks a blockhash lives at most: wallets take fresh ones, so that is assumed of all.
const BLOCKHASH_LIFE: u64 = 150;
/// How often somebody else's broadcast is asked about.
const POLL: Duration = Duration::from_millis(100);
/// How long a blockhash that no node knows may still be too new for all of them.
const BLOCKHASH_NEWNESS: Duration = Duration::from_millis(500);

impl Broadcaster {
    /// Sends a transaction for the first time, or waits for what becomes of it when somebody else does; `None` when
    /// there is no such transaction.
    pub async fn first(&self, signature: &str) -> Result<Option<RelayOutcome>, RelayError> {
        let until = Instant::now() + self.patience;
        loop {
            match rows::claim(&self.pool, signature, self.hold).await? {
                Claim::Ours(relayed) => return self.begin(&relayed).await.map(Some),
                Claim::Decided(outcome) => return Ok(Some(outcome)),
                Claim::Gone => return Ok(None),
                Claim::Held if Instant::now() < until => tokio::time::sleep(POLL).await,
                Claim::Held => return Ok(Some(RelayOutcome::Unknown)),
            }
        }
    }

    /// The first broadcast. Whatever takes too long is left to the sweep.
    pub(super) async fn begin(&self, relayed: &Relayed) -> Result<RelayOutcome, RelayError> {
        let wire = STANDARD.encode(&relayed.wire);
        let ahead = timeout(self.patience / 2, self.look_ahead(relayed, &wire)).await;
        let sent = match ahead {
            Ok(Ahead::Refused(reason)) => Sent::Refused(reason),
            Ok(Ahead::Landed) => Sent::Accepted,
            Ok(Ahead::Open) | Err(_) => timeout(self.patience / 2, self.send(relayed, &wire))
                .await
                .unwrap_or(Sent::Unknown),
        };
        let outcome = match &sent {
            Sent::Accepted => RelayOutcome::Accepted,
            Sent::Unknown => RelayOutcome::Unknown,
            Sent::Refused(reason) => {
                rows::ended(&self.pool, &relayed.signature, "failed", reason).await?;
                tracing::info!(
                    signature = relayed.signature,
                    invoice_id = relayed.invoice_id,
                    reason,
                    "transaction refused"
                );
                metrics::counter!("quittance_relay_transactions_total", "outcome" => "refused")
                    .increment(1);
                return Ok(RelayOutcome::Refused);
            }
        };
        let accepted = outcome == RelayOutcome::Accepted;
        rows::sent(&self.pool, relayed, accepted, self.resend).await?;
        tracing::info!(
            signature = relayed.signature,
            invoice_id = relayed.invoice_id,
            accepted,
            "transaction sent"
        );
        Ok(outcome)
    }

    /// What can be known before sending. The height and the simulation are advice: without them it is sent all the
    /// same.
    async fn look_ahead(&self, relayed: &Relayed, wire: &str) -> Ahead {
        let (height, simulated) = tokio::join!(
            self.nodes.block_height(Commitment::Processed),
            self.nodes.simulate(wire)
        );
        if let Ok(height) = height {
            self.note_last_valid(&relayed.signature, height).await;
        }
        let error = match simulated {
            Ok(error) => error,
            Err(error) => {
                tracing::warn!(%error, signature = relayed.signature, "a transaction was not simulated");
                return Ahead::Open;
            }
        };
        match signals::forecast(error.as_ref()) {
            Forecast::Landed => Ahead::Landed,
            Forecast::UnknownBlockhash if self.is_dead(&relayed.wire).await => {
                Ahead::Refused("the blockhash is not valid".to_owned())
            }
            Forecast::Go | Forecast::UnknownBlockhash => Ahead::Open,
            Forecast::Fails => Ahead::Refused(
                error.map_or_else(String::new, |error| format!("simulation: {error}")),
            ),
        }
    }

    /// Until when it can land at the latest. Not knowing that only means sending for longer.
    pub(super) async fn note_last_valid(&self, signature: &str, height: u64) {
        let last = i64::try_from(height.saturating_add(BLOCKHASH_LIFE)).unwrap_or(i64::MAX);
        if let Err(error) = rows::set_last_valid(&self.pool, signature, last).await {
            tracing::warn!(%error, signature, "a last valid height was not stored");
        }
    }

    /// Whether all nodes that answer say, twice, that the blockhash is none of this chain's living ones.
    async fn is_dead(&self, wire: &[u8]) -> bool {
        let Ok(transaction) = wincode::deserialize::<VersionedTransaction>(wire) else {
            return false;
        };
        let hash = *transaction.message.recent_blockhash();
        if !self.is_unknown(&hash).await {
            return false;
        }
        tokio::time::sleep(BLOCKHASH_NEWNESS).await;
        self.is_unknown(&hash).await
    }

    async fn is_unknown(&self, hash: &Hash) -> bool {
        let asked = self.nodes.each().map(|node| node.is_blockhash_valid(hash));
        let answers: Vec<bool> = join_all(asked).await.into_iter().flatten().collect();
        !answers.is_empty() && !answers.contains(&true)
    }

    /// Hands the bytes to every node at once.
    pub(super) async fn send(&self, relayed: &Relayed, wire: &str) -> Sent {
        let sends = self.nodes.tell_each(|node| node.send_transaction(wire));
        let answers = sends.await.into_iter().map(|(node, answer)| {
            let sent = match answer {
                Ok(signature) if signature.to_string() == relayed.signature => Sent::Accepted,
                // Whatever it took, it was not this.
                Ok(_) => {
                    tracing::error!(node = node.label(), signature = relayed.signature, "the node answered another signature");
                    Sent::Unknown
                }
                Err(error) => {
                    log_failed(node.label(), &relayed.signature, &error);
                    signals::sent(&error)
                }
            };
            let result = match &sent {
                Sent::Accepted => "accepted",
                Sent::Refused(_) => "refused",
                Sent::Unknown => "unknown",
            };
            metrics::counter!("quittance_relay_sends_total", "node" => node.label().to_owned(), "result" => result)
                .increment(1);
            sent
        });
        signals::together(answers)
    }
}

/// What a look ahead found.
enum Ahead {
    Open,
    Landed,
    Refused(String),
}

fn log_failed(node: &str, signature: &str, error: &NodeError) {
    tracing::debug!(node, signature, %error, "a node did not take a transaction");
}
