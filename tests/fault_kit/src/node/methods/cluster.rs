//! Slots, heights, blockhashes and the state of the cluster.

use serde_json::{Value, json};
use solana_rpc_client_api::response::{RpcPerfSample, RpcPrioritizationFee};

use super::{Answer, to_json, with_context};
use crate::chain::{Commitment, State, View};
use crate::node::RpcFailure;
use crate::node::core::Core;
use crate::node::params::{Config, Params};
use crate::node::settings::Health;

const SAMPLES_MAX: u64 = 720;
const SAMPLE_SECONDS: u16 = 60;
const FEE_SLOTS: u64 = 150;
const FEE_KEYS_MAX: usize = 128;
const SLOTS_IN_EPOCH: u64 = 432_000;

pub fn slot(core: &Core, params: &Params<'_>) -> Answer {
    at(core, &params.config(0), |_, _, slot| Ok(json!(slot)))
}

pub fn block_height(core: &Core, params: &Params<'_>) -> Answer {
    at(core, &params.config(0), |state, _, slot| {
        Ok(json!(state.slots.height(slot)))
    })
}

/// Of a block that is confirmed here, and not forgotten.
pub fn block_time(core: &Core, params: &Params<'_>) -> Answer {
    let slot = params.get(0).and_then(Value::as_u64);
    let slot = slot.ok_or_else(|| RpcFailure::invalid_params("Invalid params: expected u64."))?;
    let state = core.chain.lock();
    let inner = core.lock();
    let view = &inner.view;
    if slot < view.history_from {
        return Err(RpcFailure::block_cleaned_up(slot, view.history_from));
    }
    if slot > view.slot(&state, Commitment::Confirmed) {
        return Err(RpcFailure::block_not_available(slot));
    }
    if state.slots.is_skipped(slot) {
        return Err(RpcFailure::slot_skipped(slot));
    }
    Ok(json!(view.time(&state, slot)))
}

pub fn latest_blockhash(core: &Core, params: &Params<'_>) -> Answer {
    at(core, &params.config(0), |state, _, slot| {
        let value = json!({
            "blockhash": state.slots.blockhash(slot).to_string(),
            "lastValidBlockHeight": state.slots.last_valid_height(slot),
        });
        Ok(with_context(slot, &value))
    })
}

pub fn is_blockhash_valid(core: &Core, params: &Params<'_>) -> Answer {
    let blockhash = params.hash(0)?;
    at(core, &params.config(1), |state, _, slot| {
        let valid = state.is_live(&blockhash, slot);
        Ok(with_context(slot, &json!(valid)))
    })
}

pub fn epoch_info(core: &Core, params: &Params<'_>) -> Answer {
    at(core, &params.config(0), |state, _, slot| {
        Ok(json!({
            "epoch": slot / SLOTS_IN_EPOCH,
            "slotIndex": slot % SLOTS_IN_EPOCH,
            "slotsInEpoch": SLOTS_IN_EPOCH,
            "absoluteSlot": slot,
            "blockHeight": state.slots.height(slot),
            "transactionCount": state.ledger.count(),
        }))
    })
}

fn at(
    core: &Core,
    config: &Config<'_>,
    answer: impl FnOnce(&State, &View, u64) -> Answer,
) -> Answer {
    let commitment = config.commitment()?;
    let state = core.chain.lock();
    let inner = core.lock();
    let slot = config.slot(&inner.view, &state, commitment)?;
    answer(&state, &inner.view, slot)
}

pub fn health(core: &Core) -> Answer {
    let health = core.lock().settings.health;
    match health {
        Health::Well => Ok(json!("ok")),
        Health::Unhealthy => Err(RpcFailure::unhealthy(None)),
        Health::Behind(slots) => Err(RpcFailure::unhealthy(Some(slots))),
    }
}

pub fn performance(core: &Core, params: &Params<'_>) -> Answer {
    let wanted = params.get(0).and_then(Value::as_u64).unwrap_or(SAMPLES_MAX);
    if wanted > SAMPLES_MAX {
        let message = format!("Invalid limit; max {SAMPLES_MAX}");
        return Err(RpcFailure::invalid_params(message));
    }
    let state = core.chain.lock();
    let inner = core.lock();
    let tip = inner.view.slot(&state, Commitment::Processed);
    let slots = u64::from(SAMPLE_SECONDS) * 1_000 / state.slot_milliseconds.max(1);
    let samples: Vec<_> = (0..wanted)
        .map_while(|back| tip.checked_sub(back * slots))
        .map(|slot| RpcPerfSample {
            slot,
            num_transactions: slots,
            num_non_vote_transactions: Some(slots),
            num_slots: slots,
            sample_period_secs: SAMPLE_SECONDS,
        })
        .collect();
    to_json(samples)
}

pub fn prioritization_fees(core: &Core, params: &Params<'_>) -> Answer {
    let keys = params.get(0).and_then(Value::as_array).map_or(0, Vec::len);
    if keys > FEE_KEYS_MAX {
        let message = format!("Too many inputs provided; max {FEE_KEYS_MAX}");
        return Err(RpcFailure::invalid_params(message));
    }
    let state = core.chain.lock();
    let inner = core.lock();
    let tip = inner.view.slot(&state, Commitment::Processed);
    let fees: Vec<_> = (tip.saturating_sub(FEE_SLOTS - 1)..=tip)
        .map(|slot| RpcPrioritizationFee {
            slot,
            prioritization_fee: state.prioritization_fee,
        })
        .collect();
    to_json(fees)
}
