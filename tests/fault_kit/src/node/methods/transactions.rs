//! `getTransaction`.

use serde_json::Value;
use solana_transaction_status_client_types::{TransactionBinaryEncoding, UiTransactionEncoding};

use super::{Answer, to_json};
use crate::node::RpcFailure;
use crate::node::core::Core;
use crate::node::params::{Config, Params};
use crate::transaction::{encoded, version_number};

pub fn get_transaction(core: &Core, params: &Params<'_>) -> Answer {
    let signature = params.signature(0)?;
    let config = params.config(1);
    let commitment = config.block_commitment()?;
    let encoding = encoding(params.get(1), &config)?;
    let state = core.chain.lock();
    let inner = core.lock();
    let Some((landed, _)) = inner.view.find(&state, &signature, commitment) else {
        return Ok(Value::Null);
    };
    let transaction = &landed.transaction;
    if let Some(version) = version_number(transaction.version) {
        let readable = config.number("maxSupportedTransactionVersion");
        if readable.is_none_or(|highest| highest < u64::from(version)) {
            return Err(RpcFailure::unsupported_version(version));
        }
    }
    let time = inner.view.time(&state, landed.slot);
    to_json(encoded(
        transaction,
        encoding,
        landed.slot,
        landed.index,
        time,
    ))
}

fn encoding(
    given: Option<&Value>,
    config: &Config<'_>,
) -> Result<TransactionBinaryEncoding, RpcFailure> {
    let named = match given.filter(|value| value.is_string()) {
        Some(name) => serde_json::from_value(name.clone()).ok(),
        None => config.read::<UiTransactionEncoding>("encoding")?,
    };
    named
        .as_ref()
        .and_then(UiTransactionEncoding::into_binary_encoding)
        .ok_or_else(|| RpcFailure::invalid_params("the fake node encodes base58 and base64 only"))
}
