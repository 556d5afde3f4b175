//! The answers of a node in order.

mod accounts;
mod cluster;
mod sending;
mod signatures;
mod transactions;
mod zstd;

use serde::Serialize;
use serde_json::{Value, json};

use super::core::Core;
use super::params::Params;
use super::{RpcFailure, RpcMethod};

/// The version that the node claims.
pub const NODE_VERSION: &str = "4.2.2";

type Answer = Result<Value, RpcFailure>;

/// The true answer to a request.
pub fn answer(core: &Core, method: RpcMethod, params: &Value) -> Answer {
    let params = &Params::of(params);
    match method {
        RpcMethod::GetTransaction => transactions::get_transaction(core, params),
        RpcMethod::GetSignaturesForAddress => signatures::for_address(core, params),
        RpcMethod::GetSignatureStatuses => signatures::statuses(core, params),
        RpcMethod::GetSlot => cluster::slot(core, params),
        RpcMethod::GetBlockHeight => cluster::block_height(core, params),
        RpcMethod::GetBlockTime => cluster::block_time(core, params),
        RpcMethod::GetLatestBlockhash => cluster::latest_blockhash(core, params),
        RpcMethod::IsBlockhashValid => cluster::is_blockhash_valid(core, params),
        RpcMethod::GetGenesisHash => Ok(json!(core.chain.genesis_hash().to_string())),
        RpcMethod::GetVersion => Ok(json!({ "solana-core": NODE_VERSION, "feature-set": 1 })),
        RpcMethod::GetHealth => cluster::health(core),
        RpcMethod::GetRecentPerformanceSamples => cluster::performance(core, params),
        RpcMethod::GetRecentPrioritizationFees => cluster::prioritization_fees(core, params),
        RpcMethod::GetEpochInfo => cluster::epoch_info(core, params),
        RpcMethod::GetAccountInfo => accounts::account_info(core, params),
        RpcMethod::GetMultipleAccounts => accounts::multiple_accounts(core, params),
        RpcMethod::GetBalance => accounts::balance(core, params),
        RpcMethod::GetMinimumBalanceForRentExemption => accounts::rent_exemption(core, params),
        RpcMethod::SendTransaction => sending::send(core, params),
        RpcMethod::SimulateTransaction => sending::simulate(core, params),
        RpcMethod::SlotSubscribe
        | RpcMethod::SlotUnsubscribe
        | RpcMethod::LogsSubscribe
        | RpcMethod::LogsUnsubscribe
        | RpcMethod::SignatureSubscribe
        | RpcMethod::SignatureUnsubscribe => Err(RpcFailure::method_not_found()),
    }
}

/// What the method says when it knows nothing.
pub fn nothing(core: &Core, method: RpcMethod, params: &Value) -> Value {
    let asked = Params::of(params)
        .get(0)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    match method {
        RpcMethod::GetSignaturesForAddress => json!([]),
        RpcMethod::GetSignatureStatuses | RpcMethod::GetMultipleAccounts => {
            with_context(core.chain.slot(), &json!(vec![Value::Null; asked]))
        }
        RpcMethod::GetAccountInfo => with_context(core.chain.slot(), &Value::Null),
        _ => Value::Null,
    }
}

/// An answer with the slot that it stands on.
pub fn with_context(slot: u64, value: &Value) -> Value {
    json!({ "context": { "slot": slot, "apiVersion": NODE_VERSION }, "value": value })
}

fn to_json(value: impl Serialize) -> Answer {
    serde_json::to_value(value).map_err(|error| RpcFailure::internal(&error))
}
