//! Following transactions until they are final, have failed, or cannot land any more.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt as _, StreamExt as _};
use shared::chain::{Commitment, Look, Node, NodeError, RelayFailure, reached_by};

use super::agreement::{self, Finding, Word};
use super::rows::{self, Relayed};
use super::signals::{self, Sent, Step};
use super::{Broadcaster, RelayError};

/// Transactions of one round; nodes tell the status of so many at once.
const BATCH: i64 = 256;
/// Transactions sent at the same time.
const SENDS: usize = 16;
/// Looks that must not find a transaction before it is given up: one might meet a moment of confusion.
const ABSENCES: i16 = 2;

/// How far the chain is, as each node says.
struct Heights {
    processed: Vec<Option<u64>>,
    /// Asked for only when something seems over.
    finalized: Vec<Option<u64>>,
    /// How many nodes must say the same.
    agreement: usize,
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
        let (statuses, processed) = tokio::join!(
            self.nodes.statuses(&signatures),
            self.nodes.heights(Commitment::Processed)
        );
        let agreement = self.nodes.agreement_now();
        let height = reached_by(agreement, processed.iter().flatten().copied());
        let stepped: Vec<(Relayed, Step)> = sent
            .into_iter()
            .zip(statuses?)
            .map(|(relayed, status)| {
                let sighting = signals::sighting(status.as_ref(), &relayed.wire);
                let step = signals::step(sighting, height, relayed.last_valid());
                (relayed, step)
            })
            .collect();
        let finalized = if stepped.iter().any(|(_, step)| *step == Step::Seek) {
            // Before the look-ups: what lands before these heights is in the history then.
            self.nodes.heights(Commitment::Finalized).await
        } else {
            Vec::new()
        };
        let heights = Heights {
            processed,
            finalized,
            agreement,
        };
        let go_on =
            async |(relayed, step): (Relayed, Step)| self.go_on(&relayed, step, &heights).await;
        at_once(stepped.into_iter().map(go_on)).await
    }

    async fn go_on(
        &self,
        relayed: &Relayed,
        step: Step,
        heights: &Heights,
    ) -> Result<(), RelayError> {
        let signature = &relayed.signature;
        match step {
            Step::Send => self.send_again(relayed, heights).await,
            Step::Wait => Ok(rows::present(&self.pool, signature).await?),
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
            Step::Fail(failure) => {
                let ended =
                    rows::ended(&self.pool, signature, "failed", "failed on chain", failure);
                if ended.await? {
                    report(relayed, "failed_on_chain");
                }
                Ok(())
            }
            Step::Seek => self.seek(relayed, heights).await,
        }
    }

    async fn send_again(&self, relayed: &Relayed, heights: &Heights) -> Result<(), RelayError> {
        self.note_last_valid(relayed, heights).await;
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

    /// Until when it can land at the latest. Not knowing that only means sending for longer.
    async fn note_last_valid(&self, relayed: &Relayed, heights: &Heights) {
        let height = agreement::at_most(&heights.processed, heights.agreement);
        let news = height.and_then(|height| agreement::last_valid(relayed.last_valid(), height));
        let Some(last) = news else {
            return;
        };
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        if let Err(error) = rows::set_last_valid(&self.pool, &relayed.signature, last).await {
            let signature = &relayed.signature;
            tracing::warn!(%error, signature, "a last valid height was not stored");
        }
    }

    /// Gives a transaction up once enough nodes are final past its last chance, have never heard of it, and say so
    /// twice, while none contradicts.
    async fn seek(&self, relayed: &Relayed, heights: &Heights) -> Result<(), RelayError> {
        let signature = &relayed.signature;
        let last_valid = relayed.last_valid().unwrap_or(u64::MAX);
        let past = self.nodes.each().zip(&heights.finalized);
        let past = past.filter(|(_, height)| height.is_some_and(|height| height > last_valid));
        let asked: Vec<_> = past.map(|(node, _)| word(node, signature)).collect();
        if asked.len() < heights.agreement {
            return Ok(());
        }
        match agreement::finding(&join_all(asked).await, heights.agreement) {
            Finding::Present => Ok(rows::present(&self.pool, signature).await?),
            Finding::Open => Ok(()),
            Finding::Absent if rows::absent(&self.pool, signature).await? < ABSENCES => Ok(()),
            Finding::Absent => self.expire(relayed).await,
        }
    }

    async fn expire(&self, relayed: &Relayed) -> Result<(), RelayError> {
        let ended = rows::ended(
            &self.pool,
            &relayed.signature,
            "expired",
            "it did not land in time",
            RelayFailure::BlockhashExpired,
        );
        if ended.await? {
            report(relayed, "expired");
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

/// What a node says of a transaction, by its status and by the transaction itself. An error is no answer.
async fn word(node: &Node, signature: &str) -> Word {
    let knows = async {
        let (statuses, _) = node.statuses(&[signature.to_owned()]).await?;
        let has_status = statuses.first().is_none_or(Option::is_some);
        let look = node.look(signature, Commitment::Finalized).await?;
        Ok::<bool, NodeError>(has_status || look != Look::Absent)
    };
    match knows.await {
        Ok(true) => Word::Known,
        Ok(false) => Word::Unknown,
        Err(error) => {
            tracing::debug!(node = node.label(), signature, %error, "a node did not say whether it knows a transaction");
            Word::Silence
        }
    }
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
