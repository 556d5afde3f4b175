//! `sendTransaction` and `simulateTransaction`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use solana_rpc_client_api::response::RpcSimulateTransactionResult;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use super::{Answer, to_json, with_context};
use crate::chain::Commitment;
use crate::node::RpcFailure;
use crate::node::core::Core;
use crate::node::params::{Config, Params};
use crate::node::settings::{Sending, Simulation};
use crate::transaction::decode;

/// The most bytes of a transaction, by its first byte.
const WIRE_MAX: usize = 1_232;
const WIRE_V1_MAX: usize = 4_096;
const V1_MARK: u8 = 0x81;

pub fn send(core: &Core, params: &Params<'_>) -> Answer {
    let config = params.config(1);
    let (transaction, wire) = read(params, &config)?;
    let signature = transaction.signatures.first().copied().unwrap_or_default();
    core.lock().sent.push(wire);
    core.stir();
    if !config.flag("skipPreflight") {
        preflight(core, &config, &transaction)?;
    }
    let sending = core.lock().settings.sending;
    let state = core.chain.lock();
    let deliverable = sending != Sending::Swallow && state.ledger.prepared(&signature).is_some();
    let slot = state.slots.tip();
    let live = state.is_live(transaction.message.recent_blockhash(), slot);
    drop(state);
    if deliverable && live {
        core.chain
            .reland(&signature, slot)
            .map_err(|error| RpcFailure::internal(&error))?;
    }
    Ok(json!(match sending {
        Sending::AnswerOther(other) => other.to_string(),
        Sending::Deliver | Sending::Swallow => signature.to_string(),
    }))
}

fn preflight(
    core: &Core,
    config: &Config<'_>,
    transaction: &VersionedTransaction,
) -> Result<(), RpcFailure> {
    if !is_signed(transaction) {
        return Err(RpcFailure::signature_verification());
    }
    let commitment = config.named_commitment("preflightCommitment")?;
    let (_, simulation) = simulated(core, config, commitment, transaction, true)?;
    match &simulation.err {
        None => Ok(()),
        Some(err) => Err(RpcFailure::preflight(
            &err.to_string(),
            to_json(result(&simulation))?,
        )),
    }
}

pub fn simulate(core: &Core, params: &Params<'_>) -> Answer {
    let config = params.config(1);
    let (transaction, _) = read(params, &config)?;
    let replaces = config.flag("replaceRecentBlockhash");
    if config.flag("sigVerify") {
        if replaces {
            let message = "sigVerify may not be used with replaceRecentBlockhash";
            return Err(RpcFailure::invalid_params(message));
        }
        if !is_signed(&transaction) {
            return Err(RpcFailure::signature_verification());
        }
    }
    let commitment = config.commitment()?;
    let (slot, simulation) = simulated(core, &config, commitment, &transaction, !replaces)?;
    Ok(with_context(slot, &to_json(result(&simulation))?))
}

fn simulated(
    core: &Core,
    config: &Config<'_>,
    commitment: Commitment,
    transaction: &VersionedTransaction,
    checks_blockhash: bool,
) -> Result<(u64, Simulation), RpcFailure> {
    let signature = transaction.signatures.first().copied().unwrap_or_default();
    let state = core.chain.lock();
    let inner = core.lock();
    let slot = config.slot(&inner.view, &state, commitment)?;
    let mut simulation = inner.settings.simulation.clone();
    let blockhash = transaction.message.recent_blockhash();
    if checks_blockhash && !state.is_live(blockhash, slot) {
        simulation.err = Some(TransactionError::BlockhashNotFound);
    } else if inner.view.find(&state, &signature, commitment).is_some() {
        simulation.err = Some(TransactionError::AlreadyProcessed);
    }
    Ok((slot, simulation))
}

fn result(simulation: &Simulation) -> RpcSimulateTransactionResult {
    RpcSimulateTransactionResult {
        err: simulation.err.clone().map(Into::into),
        logs: Some(simulation.logs.clone()),
        accounts: None,
        units_consumed: Some(simulation.units),
        loaded_accounts_data_size: Some(0),
        return_data: None,
        inner_instructions: None,
        replacement_blockhash: None,
        fee: None,
        pre_balances: None,
        post_balances: None,
        pre_token_balances: None,
        post_token_balances: None,
        loaded_addresses: None,
    }
}

fn is_signed(transaction: &VersionedTransaction) -> bool {
    transaction
        .verify_with_results()
        .into_iter()
        .all(|good| good)
}

fn read(
    params: &Params<'_>,
    config: &Config<'_>,
) -> Result<(VersionedTransaction, Vec<u8>), RpcFailure> {
    let text = params.text(0)?;
    let wire = match config.get("encoding").and_then(Value::as_str) {
        Some("base64") => BASE64_STANDARD
            .decode(text)
            .map_err(|error| invalid(&error))?,
        None | Some("base58") => bs58::decode(text)
            .into_vec()
            .map_err(|error| invalid(&error))?,
        Some(other) => {
            let message =
                format!("unsupported encoding: {other}. Supported encodings: base58, base64");
            return Err(RpcFailure::invalid_params(message));
        }
    };
    let most = if wire.first() == Some(&V1_MARK) {
        WIRE_V1_MAX
    } else {
        WIRE_MAX
    };
    if wire.len() > most {
        let message = format!(
            "decoded transaction too large: {} bytes (max: {most} bytes)",
            wire.len()
        );
        return Err(RpcFailure::invalid_params(message));
    }
    let transaction = decode(&wire)
        .ok_or_else(|| RpcFailure::invalid_params("failed to deserialize the transaction"))?;
    Ok((transaction, wire))
}

fn invalid(error: &impl ToString) -> RpcFailure {
    RpcFailure::invalid_params(format!("invalid encoding: {}", error.to_string()))
}
