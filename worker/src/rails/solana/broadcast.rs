//! Sending: the first time with a look ahead, to all nodes at once.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use shared::chain::{NodeError, RelayFailure, RelayOutcome};
use solana_hash::Hash;
use solana_transaction::versioned::VersionedTransaction;
use tokio::time::timeout;

use super::rows::{self, Claim, Relayed};
use super::signals::{self, Forecast, Refusal, Sent};
use super::{Broadcaster, RelayError};

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
            Ok(Ahead::Refused(refusal)) => Sent::Refused(refusal),
            Ok(Ahead::Landed) => Sent::Accepted,
            Ok(Ahead::Open) | Err(_) => timeout(self.patience / 2, self.send(relayed, &wire))
                .await
                .unwrap_or(Sent::Unknown),
        };
        let outcome = match &sent {
            Sent::Accepted => RelayOutcome::Accepted,
            Sent::Unknown => RelayOutcome::Unknown,
            Sent::Refused(Refusal { failure, reason }) => {
                rows::ended(&self.pool, &relayed.signature, "failed", reason, *failure).await?;
                tracing::info!(
                    signature = relayed.signature,
                    invoice_id = relayed.invoice_id,
                    failure = failure.name(),
                    reason,
                    "transaction refused"
                );
                metrics::counter!("quittance_relay_transactions_total", "outcome" => "refused")
                    .increment(1);
                return Ok(RelayOutcome::Refused(*failure));
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

    /// What can be known before sending. The simulation is advice: without it it is sent all the same.
    async fn look_ahead(&self, relayed: &Relayed, wire: &str) -> Ahead {
        let error = match self.nodes.simulate(wire).await {
            Ok(error) => error,
            Err(error) => {
                tracing::warn!(%error, signature = relayed.signature, "a transaction was not simulated");
                return Ahead::Open;
            }
        };
        match (signals::forecast(error.as_ref()), error) {
            (Forecast::Landed, _) => Ahead::Landed,
            (Forecast::UnknownBlockhash, _) if self.is_dead(&relayed.wire).await => {
                Ahead::Refused(Refusal {
                    failure: RelayFailure::BlockhashExpired,
                    reason: "the blockhash is not valid".to_owned(),
                })
            }
            (Forecast::Fails, Some(error)) if !self.is_hopeful(wire).await => {
                Ahead::Refused(Refusal {
                    failure: RelayFailure::of_error(&error, &relayed.wire),
                    reason: format!("simulation: {error}"),
                })
            }
            (Forecast::Go | Forecast::UnknownBlockhash | Forecast::Fails, _) => Ahead::Open,
        }
    }

    /// Whether some node says that it can land: one that is behind does not know yet what the payer has.
    async fn is_hopeful(&self, wire: &str) -> bool {
        if self.nodes.each().count() == 1 {
            return false;
        }
        let asked = self.nodes.each().map(|node| node.simulate(wire));
        let mut answers = join_all(asked).await.into_iter().flatten();
        answers.any(|error| signals::forecast(error.as_ref()) != Forecast::Fails)
    }

    /// Whether enough nodes say, twice, that the blockhash is none of this chain's living ones, and none that it is.
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
        answers.len() >= self.nodes.agreement_now() && !answers.contains(&true)
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
                    signals::sent(&error, &relayed.wire)
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
    Refused(Refusal),
}

fn log_failed(node: &str, signature: &str, error: &NodeError) {
    tracing::debug!(node, signature, %error, "a node did not take a transaction");
}
