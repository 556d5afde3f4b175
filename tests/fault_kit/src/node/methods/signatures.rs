//! `getSignaturesForAddress` and `getSignatureStatuses`.

use serde_json::Value;
use solana_rpc_client_api::response::RpcConfirmedTransactionStatusWithSignature;
use solana_signature::Signature;
use solana_transaction_status_client_types::{TransactionConfirmationStatus, TransactionStatus};

use super::{Answer, to_json, with_context};
use crate::chain::{Commitment, Landed, State, View};
use crate::node::RpcFailure;
use crate::node::core::Core;
use crate::node::params::{Config, Params, parsed};
use crate::node::settings::UnknownSignature;

const ROWS_MAX: u64 = 1_000;
const SIGNATURES_MAX: usize = 256;
/// How many slots the status cache goes back.
const RECENT_SLOTS: u64 = 300;

/// Where the rows begin and end: what is between two positions of the chain.
struct Range {
    before: Option<(u64, u32)>,
    until: Option<(u64, u32)>,
    empty: bool,
}

pub fn for_address(core: &Core, params: &Params<'_>) -> Answer {
    let key = params.key(0)?;
    let config = params.config(1);
    let commitment = config.block_commitment()?;
    let limit = config.number("limit").unwrap_or(ROWS_MAX);
    if limit == 0 || limit > ROWS_MAX {
        let message = format!("Invalid limit; max {ROWS_MAX}");
        return Err(RpcFailure::invalid_params(message));
    }
    let state = core.chain.lock();
    let inner = core.lock();
    let view = &inner.view;
    config.slot(view, &state, commitment)?;
    let range = range(
        view,
        &state,
        &config,
        commitment,
        inner.settings.unknown_signature,
    )?;
    let rows: Vec<_> = view
        .mentioning(&state, &key, commitment)
        .filter(|(landed, _)| range.contains((landed.slot, landed.index)))
        .map(|(landed, level)| row(&landed, level, view.time(&state, landed.slot)))
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .collect();
    to_json(rows)
}

impl Range {
    fn contains(&self, position: (u64, u32)) -> bool {
        !self.empty
            && self.before.is_none_or(|before| position < before)
            && self.until.is_none_or(|until| position > until)
    }
}

fn range(
    view: &View,
    state: &State,
    config: &Config<'_>,
    commitment: Commitment,
    unknown: UnknownSignature,
) -> Result<Range, RpcFailure> {
    let find = |signature: Option<Signature>| match signature {
        None => Ok((None, false)),
        Some(signature) => match view.position(state, &signature, commitment) {
            Some(position) => Ok((Some(position), false)),
            None if unknown == UnknownSignature::Refuse => {
                Err(RpcFailure::filter_transaction_not_found(&signature))
            }
            None => Ok((None, unknown == UnknownSignature::AllRows)),
        },
    };
    let (before, empty) = find(config.signature("before")?)?;
    let (until, _) = find(config.signature("until")?)?;
    Ok(Range {
        before,
        until,
        empty,
    })
}

fn row(
    landed: &Landed,
    level: Commitment,
    block_time: Option<i64>,
) -> RpcConfirmedTransactionStatusWithSignature {
    RpcConfirmedTransactionStatusWithSignature {
        signature: landed.transaction.signature.to_string(),
        slot: landed.slot,
        err: landed.transaction.err.clone().map(Into::into),
        memo: landed.transaction.memo.clone(),
        block_time,
        confirmation_status: Some(named(level)),
        transaction_index: Some(landed.index),
    }
}

pub fn statuses(core: &Core, params: &Params<'_>) -> Answer {
    let asked = params.texts(0)?;
    if asked.len() > SIGNATURES_MAX {
        let message = format!("Too many inputs provided; max {SIGNATURES_MAX}");
        return Err(RpcFailure::invalid_params(message));
    }
    let history = params.config(1).flag("searchTransactionHistory");
    let state = core.chain.lock();
    let inner = core.lock();
    let tip = inner.view.slot(&state, Commitment::Processed);
    let told_tip = inner.view.told_slot(&state, Commitment::Processed);
    let mut found = Vec::with_capacity(asked.len());
    for signature in asked {
        let signature = parsed(signature)?;
        let known = inner.view.find(&state, &signature, Commitment::Processed);
        // Old transactions are looked up in the history, which holds finalized ones only.
        let kept = known.filter(|(landed, level)| {
            landed.slot + RECENT_SLOTS > tip || history && *level == Commitment::Finalized
        });
        found.push(match kept {
            Some((landed, level)) => to_json(status(&landed, level, tip))?,
            None => Value::Null,
        });
    }
    Ok(with_context(told_tip, &Value::Array(found)))
}

fn status(landed: &Landed, level: Commitment, tip: u64) -> TransactionStatus {
    let err = landed.transaction.err.clone();
    let depth = usize::try_from(tip.saturating_sub(landed.slot)).unwrap_or(usize::MAX);
    TransactionStatus {
        slot: landed.slot,
        confirmations: (level < Commitment::Finalized).then_some(depth),
        status: err.clone().map_or(Ok(()), Err),
        err,
        confirmation_status: Some(named(level)),
    }
}

const fn named(level: Commitment) -> TransactionConfirmationStatus {
    match level {
        Commitment::Processed => TransactionConfirmationStatus::Processed,
        Commitment::Confirmed => TransactionConfirmationStatus::Confirmed,
        Commitment::Finalized => TransactionConfirmationStatus::Finalized,
    }
}
