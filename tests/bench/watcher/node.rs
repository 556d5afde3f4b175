//! When the node calls a transaction confirmed, and when finalized. Statuses change with the slot only, so the slot is
//! asked for every few milliseconds, and the statuses when it has moved: asking for them costs the node much more.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use solana_signature::Signature;
use stack::chain::rpc::Status;
use stack::chain::{Commitment, Rpc};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;

use crate::failure::BenchError;

const PAUSE: Duration = Duration::from_millis(4);
/// A node takes no more signatures at once.
const BATCH: usize = 256;

#[derive(Deserialize)]
struct Statuses {
    value: Vec<Option<Status>>,
}

/// A payment on its way.
pub struct Sent {
    /// Its signature.
    pub signature: Signature,
    /// What it pays.
    pub invoice: String,
}

/// When the node said so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    /// Confirmed.
    pub confirmed: Option<Instant>,
    /// Finalized.
    pub finalized: Option<Instant>,
}

/// What following led to.
pub struct Followed {
    /// By invoice.
    pub said: HashMap<String, Said>,
    /// The times between two questions: what the node said was true for so long at most.
    pub gaps: Vec<Duration>,
}

/// Follows payments until no more are told of and all are final.
pub async fn follow(rpc: &Rpc, mut news: UnboundedReceiver<Sent>) -> Result<Followed, BenchError> {
    let mut followed = Followed {
        said: HashMap::new(),
        gaps: Vec::new(),
    };
    let mut open: Vec<Sent> = Vec::new();
    let mut slot_before = 0;
    let mut asked_before = Instant::now();
    loop {
        let told_all = loop {
            match news.try_recv() {
                Ok(sent) => open.push(sent),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        if told_all && open.is_empty() {
            return Ok(followed);
        }
        let slot = rpc.slot(Commitment::Processed).await?;
        if slot != slot_before {
            let mut still_open = Vec::new();
            for batch in open.chunks(BATCH) {
                let signatures: Vec<Signature> = batch.iter().map(|sent| sent.signature).collect();
                let statuses = statuses(rpc, &signatures).await?;
                let at = Instant::now();
                for (sent, status) in batch.iter().zip(statuses) {
                    let said = followed.said.entry(sent.invoice.clone()).or_default();
                    note(said, status, at);
                    still_open.push(said.finalized.is_none());
                }
            }
            let mut still_open = still_open.into_iter();
            open.retain(|_| still_open.next().unwrap_or(true));
        }
        slot_before = slot;
        followed.gaps.push(asked_before.elapsed());
        asked_before = Instant::now();
        tokio::time::sleep(PAUSE).await;
    }
}

fn note(said: &mut Said, status: Option<Commitment>, at: Instant) {
    let Some(commitment) = status else { return };
    if commitment >= Commitment::Confirmed {
        said.confirmed.get_or_insert(at);
    }
    if commitment >= Commitment::Finalized {
        said.finalized.get_or_insert(at);
    }
}

/// Waits until all these are confirmed, and returns when the last one was. The newest are asked for first: when they
/// are confirmed so are the others, and asking for those takes time that is not the chain's.
pub async fn until_confirmed(
    rpc: &Rpc,
    signatures: &[Signature],
    limit: Duration,
) -> Result<Instant, BenchError> {
    let deadline = Instant::now() + limit;
    let mut at = None;
    for batch in signatures.rchunks(BATCH) {
        let mut waited = at.is_none();
        loop {
            let statuses = statuses(rpc, batch).await?;
            let is_open = |status: &Option<Commitment>| {
                status.is_none_or(|commitment| commitment < Commitment::Confirmed)
            };
            let unpaid = statuses.iter().filter(|status| is_open(status)).count();
            if unpaid == 0 {
                break;
            }
            if Instant::now() >= deadline {
                let all = signatures.len();
                return Err(BenchError::Unpaid { unpaid, all, limit });
            }
            waited = true;
            tokio::time::sleep(PAUSE).await;
        }
        if waited {
            at = Some(Instant::now());
        }
    }
    Ok(at.unwrap_or_else(Instant::now))
}

/// How sure the node is of each.
async fn statuses(
    rpc: &Rpc,
    signatures: &[Signature],
) -> Result<Vec<Option<Commitment>>, BenchError> {
    let names: Vec<String> = signatures.iter().map(ToString::to_string).collect();
    let answer: Statuses = rpc.call("getSignatureStatuses", json!([names])).await?;
    let mut commitments = Vec::with_capacity(signatures.len());
    for (signature, status) in signatures.iter().zip(answer.value) {
        if let Some(Status { err, .. }) = &status
            && *err != Value::Null
        {
            return Err(BenchError::Refused {
                signature: *signature,
                error: err.clone(),
            });
        }
        commitments.push(status.map(|status| status.confirmation_status));
    }
    Ok(commitments)
}
