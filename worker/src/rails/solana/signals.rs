//! What nodes' answers mean for a transaction. Pure.

use shared::chain::{NodeError, RelayFailure};
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{TransactionConfirmationStatus, TransactionStatus};

/// What a simulation says about sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    /// Nothing speaks against it.
    Go,
    /// The chain has it already.
    Landed,
    /// The node does not know its blockhash: too old, too new for that node, or made up.
    UnknownBlockhash,
    /// It would fail, and would fail again.
    Fails,
}

/// Sorts a simulated error. What depends on the moment speaks against nothing.
pub fn forecast(error: Option<&TransactionError>) -> Forecast {
    match error {
        Some(TransactionError::AlreadyProcessed) => Forecast::Landed,
        Some(TransactionError::BlockhashNotFound) => Forecast::UnknownBlockhash,
        None
        | Some(
            TransactionError::AccountInUse
            | TransactionError::ClusterMaintenance
            | TransactionError::WouldExceedMaxBlockCostLimit
            | TransactionError::WouldExceedMaxAccountCostLimit
            | TransactionError::WouldExceedAccountDataBlockLimit
            | TransactionError::WouldExceedMaxVoteCostLimit
            | TransactionError::WouldExceedAccountDataTotalLimit
            | TransactionError::ResanitizationNeeded
            | TransactionError::ProgramExecutionTemporarilyRestricted { .. }
            | TransactionError::ProgramCacheHitMaxLimit
            | TransactionError::CommitCancelled,
        ) => Forecast::Go,
        Some(_) => Forecast::Fails,
    }
}

/// Why a transaction is not sent, or was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the wallet.
    pub failure: RelayFailure,
    /// For us.
    pub reason: String,
}

/// What one node did with what it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It took it, or has it.
    Accepted,
    /// It says that it cannot land.
    Refused(Refusal),
    /// Nobody knows whether it took it.
    Unknown,
}

/// Sorts a failed send of these bytes. Nodes word these as they like, so both the name and the sentence of an error are known.
pub fn sent(error: &NodeError, wire: &[u8]) -> Sent {
    let NodeError::Refused { code, message } = error else {
        return Sent::Unknown;
    };
    let words = message.to_ascii_lowercase().replace(' ', "");
    if words.contains("alreadybeenprocessed") || words.contains("alreadyprocessed") {
        return Sent::Accepted;
    }
    if words.contains("blockhashnotfound") || words.contains("ratelimit") {
        return Sent::Unknown;
    }
    Sent::Refused(Refusal {
        failure: RelayFailure::of_refusal(message, wire),
        reason: format!("{code}: {message}"),
    })
}

/// What all nodes together did: one that took it is enough; a refusal counts when nobody's answer is open, and one that
/// says something about the payer counts more than one that does not.
pub fn together(answers: impl IntoIterator<Item = Sent>) -> Sent {
    let mut all: Option<Sent> = None;
    for answer in answers {
        all = Some(match (all, answer) {
            (Some(Sent::Accepted), _) | (_, Sent::Accepted) => Sent::Accepted,
            (Some(Sent::Unknown), _) | (_, Sent::Unknown) => Sent::Unknown,
            (Some(Sent::Refused(before)), refused) if before.failure == RelayFailure::NodeError => {
                refused
            }
            (Some(refused), _) | (None, refused) => refused,
        });
    }
    all.unwrap_or(Sent::Unknown)
}

/// Where the chain has a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// Nowhere.
    Nowhere,
    /// In a block that may be left behind.
    Processed,
    /// In this slot, which a supermajority voted for.
    Confirmed(u64),
    /// In this slot, for good.
    Finalized(u64),
    /// It landed for sure, and failed for this reason.
    Failed(RelayFailure),
}

/// Reads the status of these bytes.
pub fn sighting(status: Option<&TransactionStatus>, wire: &[u8]) -> Sighting {
    let Some(status) = status else {
        return Sighting::Nowhere;
    };
    // Old nodes say it by a missing count of confirmations.
    let rooted = status.confirmations.is_none();
    let level = match &status.confirmation_status {
        Some(level) => level.clone(),
        None if rooted => TransactionConfirmationStatus::Finalized,
        None => TransactionConfirmationStatus::Processed,
    };
    match (level, &status.err) {
        (TransactionConfirmationStatus::Processed, _) => Sighting::Processed,
        (_, Some(error)) => Sighting::Failed(RelayFailure::of_error(error, wire)),
        (TransactionConfirmationStatus::Confirmed, None) => Sighting::Confirmed(status.slot),
        (TransactionConfirmationStatus::Finalized, None) => Sighting::Finalized(status.slot),
    }
}

/// What to do about a transaction now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send it (again).
    Send,
    /// Look again later.
    Wait,
    /// It is confirmed, in this slot.
    Confirm(u64),
    /// It is final, in this slot.
    Finalize(u64),
    /// It landed and failed.
    Fail(RelayFailure),
    /// Its time seems over: ask every node.
    Seek,
}

/// Decides, at the height that the chain has reached for sure. A confirmed one that has vanished is sent again while it
/// can land: the chain may have left its block.
pub fn step(sighting: Sighting, height: Option<u64>, last_valid_height: Option<u64>) -> Step {
    let is_over = height
        .zip(last_valid_height)
        .is_some_and(|(height, last)| height > last);
    match sighting {
        Sighting::Failed(failure) => Step::Fail(failure),
        Sighting::Finalized(slot) => Step::Finalize(slot),
        Sighting::Confirmed(slot) => Step::Confirm(slot),
        Sighting::Processed => Step::Wait,
        Sighting::Nowhere if is_over => Step::Seek,
        Sighting::Nowhere => Step::Send,
    }
}

#[cfg(test)]
mod tests;
