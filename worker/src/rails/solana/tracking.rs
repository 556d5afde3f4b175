//! Following transactions until they are final, have failed, or cannot land any more.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt as _, StreamExt as _};
use shared::chain::{Commitment, Node, NodeError};
use solana_transaction_status_client_types::TransactionStatus;

use super::rows::{self, Relayed};
use super::signals::{self, Sent, Sighting, Step};
use super::{Broadcaster, RelayError};

/// Transactions of one round; nodes tell the status of so many at once.
const BATCH: i64 = 256;
/// Transactions sent at the same time.
const SENDS: usize = 16;
/// A node so far behind the others is not waited for.
const STALE_BLOCKS: u64 = 150;
/// Rounds in which nobody must know a transaction before it is given up: one might meet a moment of confusion.
const ABSENCES: i16 = 2;

/// How far the chain is.
#[derive(Clone, Copy)]
struct Heights {
    processed: u64,
    finalized: u64,
}

impl Broadcaster {
    /// One round over everything that is due.
    pub fn round(&self) -> BoxFuture<'static, Result<(), RelayError>> {
        let broadcaster = self.clone();
        async move { broadcaster.all_due().await }.boxed()
    }

    async fn all_due(&self) -> Result<(), RelayError> {
        loop {
            let due = rows::take_due(&self.pool, BATCH, self.resend).await?;
            let is_last = i64::try_from(due.len()).is_ok_and(|count| count < BATCH);
            if !due.is_empty() {
                self.follow(due).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn follow(&self, due: Vec<Relayed>) -> Result<(), RelayError> {
        let (new, sent): (Vec<_>, Vec<_>) = due.into_iter().partition(|row| row.is_first);
        // Their jobs are lost: nobody else sends them.
        let begin = async |relayed: Relayed| self.begin(&relayed).await.map(drop);
        at_once(new.into_iter().map(begin)).await?;
        if sent.is_empty() {
            return Ok(());
        }
        let signatures: Vec<String> = sent.iter().map(|row| row.signature.clone()).collect();
        let (statuses, processed, finalized) = tokio::try_join!(
            self.nodes.statuses(&signatures),
            self.nodes.greatest_height(Commitment::Processed),
            self.nodes.greatest_height(Commitment::Finalized)
        )?;
        let heights = Heights {
            processed,
            finalized,
        };
        let go_on = async |(relayed, status): (Relayed, Option<TransactionStatus>)| {
            let sighting = signals::sighting(status.as_ref());
            self.go_on(&relayed, sighting, heights).await
        };
        at_once(sent.into_iter().zip(statuses).map(go_on)).await
    }

    async fn go_on(
        &self,
        relayed: &Relayed,
        sighting: Sighting,
        heights: Heights,
    ) -> Result<(), RelayError> {
        let signature = &relayed.signature;
        match signals::step(sighting, heights.processed, relayed.last_valid_height) {
            Step::Send => self.send_again(relayed, heights.processed).await,
            Step::Wait => Ok(rows::maybe_present(&self.pool, signature).await?),
            Step::Confirm(slot) => {
                if rows::landed(&self.pool, signature, slot, false).await? {
                    report(relayed, "confirmed");
                }
                Ok(())
            }
            Step::Finalize(slot) => {
                if rows::landed(&self.pool, signature, slot, true).await? {
                    report(relayed, "finalized");
                }
                Ok(())
            }
            Step::Fail => {
                self.end(relayed, "failed", "failed on chain", "failed_on_chain")
                    .await
            }
            Step::Seek => self.seek(relayed, heights).await,
        }
    }

    async fn send_again(&self, relayed: &Relayed, height: u64) -> Result<(), RelayError> {
        if relayed.last_valid_height.is_none() {
            self.note_last_valid(&relayed.signature, height).await;
        }
        if relayed.is_confirmed {
            tracing::warn!(
                signature = relayed.signature,
                invoice_id = relayed.invoice_id,
                "a confirmed transaction has vanished"
            );
            metrics::counter!("quittance_relay_regressions_total").increment(1);
        }
        let sent = self.send(relayed, &STANDARD.encode(&relayed.wire)).await;
        // A refusal now may be about the moment: it was fit to be sent before.
        let accepted = sent == Sent::Accepted;
        Ok(rows::sent(&self.pool, relayed, accepted, self.resend).await?)
    }

    /// Gives a transaction up once every node that answers, and is not far behind, is final past its last chance and
    /// has never heard of it.
    async fn seek(&self, relayed: &Relayed, heights: Heights) -> Result<(), RelayError> {
        let last_valid = relayed
            .last_valid_height
            .and_then(|last| u64::try_from(last).ok())
            .unwrap_or(u64::MAX);
        if heights.finalized <= last_valid {
            return Ok(());
        }
        let signature = &relayed.signature;
        let asked = self
            .nodes
            .each()
            .map(|node| has_missed(node, signature, last_valid, heights.finalized));
        let answers = join_all(asked).await.into_iter().flatten();
        let answers: Vec<bool> = answers.flatten().collect();
        if answers.is_empty() || answers.contains(&false) {
            return Ok(rows::maybe_present(&self.pool, signature).await?);
        }
        if rows::absent(&self.pool, signature).await? >= ABSENCES {
            return self
                .end(relayed, "expired", "it did not land in time", "expired")
                .await;
        }
        Ok(())
    }

    async fn end(
        &self,
        relayed: &Relayed,
        state: &str,
        reason: &str,
        label: &'static str,
    ) -> Result<(), RelayError> {
        if rows::ended(&self.pool, &relayed.signature, state, reason).await? {
            report(relayed, label);
        }
        Ok(())
    }
}

/// Does all of it, some at the same time, and reports the first error once all are done.
async fn at_once(
    steps: impl Iterator<Item = impl Future<Output = Result<(), RelayError>>>,
) -> Result<(), RelayError> {
    let results: Vec<_> = futures::stream::iter(steps)
        .buffer_unordered(SENDS)
        .collect()
        .await;
    results.into_iter().collect()
}

/// Whether this node is final past the height, and the transaction is not in what it knows; `None` when it is too far
/// behind the others to say. The height comes first: what lands before it is in the history then.
async fn has_missed(
    node: &Node,
    signature: &str,
    last_valid: u64,
    front: u64,
) -> Result<Option<bool>, NodeError> {
    let height = node.block_height(Commitment::Finalized).await?;
    if height.saturating_add(STALE_BLOCKS) < front {
        return Ok(None);
    }
    if height <= last_valid {
        return Ok(Some(false));
    }
    let (statuses, _) = node.statuses(&[signature.to_owned()]).await?;
    Ok(Some(statuses.first().is_some_and(Option::is_none)))
}

fn report(relayed: &Relayed, outcome: &'static str) {
    tracing::info!(
        signature = relayed.signature,
        invoice_id = relayed.invoice_id,
        outcome,
        "transaction followed"
    );
    metrics::counter!("quittance_relay_transactions_total", "outcome" => outcome).increment(1);
}
