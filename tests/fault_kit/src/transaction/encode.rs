//! What nodes say about a transaction.

use solana_account_decoder_client_types::token::{UiTokenAmount, real_number_string_trimmed};
use solana_message::v0::LoadedAddresses;
use solana_pubkey::Pubkey;
use solana_transaction::versioned::TransactionVersion;
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, EncodedTransaction,
    EncodedTransactionWithStatusMeta, TransactionBinaryEncoding, TransactionStatusMeta,
    TransactionTokenBalance, UiTransactionStatusMeta,
};

use super::{FakeTransaction, TokenHolding, Version, wire};

const COMPUTE_UNITS: u64 = 6_200;

/// The answer to `getTransaction`.
pub fn encoded(
    transaction: &FakeTransaction,
    encoding: TransactionBinaryEncoding,
    slot: u64,
    index: u32,
    block_time: Option<i64>,
) -> EncodedConfirmedTransactionWithStatusMeta {
    let text = match encoding {
        TransactionBinaryEncoding::Base58 => bs58::encode(&transaction.wire).into_string(),
        TransactionBinaryEncoding::Base64 => wire::base64(&transaction.wire),
    };
    let version = version_number(transaction.version)
        .map_or(TransactionVersion::LEGACY, TransactionVersion::Number);
    let meta = (!transaction.without_meta).then(|| meta(transaction));
    EncodedConfirmedTransactionWithStatusMeta {
        slot,
        transaction: EncodedTransactionWithStatusMeta {
            transaction: EncodedTransaction::Binary(text, encoding),
            meta,
            version: Some(version),
        },
        block_time,
        transaction_index: Some(index),
    }
}

/// The number of a version; legacy has none.
pub const fn version_number(version: Version) -> Option<u8> {
    match version {
        Version::Legacy => None,
        Version::V0 => Some(0),
        Version::V1 => Some(1),
        Version::Other(number) => Some(number),
    }
}

fn meta(transaction: &FakeTransaction) -> UiTransactionStatusMeta {
    let status = transaction.err.clone().map_or(Ok(()), Err);
    TransactionStatusMeta {
        status,
        fee: transaction.fee,
        pre_balances: transaction.pre_balances.clone(),
        post_balances: transaction.post_balances.clone(),
        inner_instructions: Some(transaction.inner.clone()),
        log_messages: Some(transaction.logs.clone()),
        pre_token_balances: Some(rows(transaction, |row| (row.before, row.owner_before))),
        post_token_balances: Some(rows(transaction, |row| (row.after, row.owner))),
        rewards: Some(Vec::new()),
        loaded_addresses: LoadedAddresses {
            writable: transaction.loaded_writable.clone(),
            readonly: transaction.loaded_readonly.clone(),
        },
        return_data: None,
        compute_units_consumed: Some(COMPUTE_UNITS),
        cost_units: None,
    }
    .into()
}

fn rows(
    transaction: &FakeTransaction,
    side: impl Fn(&TokenHolding) -> (Option<u64>, Pubkey),
) -> Vec<TransactionTokenBalance> {
    let row = |holding: &TokenHolding| {
        let (amount, owner) = side(holding);
        Some(TransactionTokenBalance {
            account_index: u8::try_from(holding.index).ok()?,
            mint: holding.mint.to_string(),
            ui_token_amount: ui_amount(amount?, holding),
            owner: owner.to_string(),
            program_id: holding.program.to_string(),
        })
    };
    transaction.tokens.iter().filter_map(row).collect()
}

fn ui_amount(amount: u64, holding: &TokenHolding) -> UiTokenAmount {
    let plain = || real_number_string_trimmed(amount, holding.decimals);
    let text = holding.shown.clone().unwrap_or_else(plain);
    UiTokenAmount {
        ui_amount: text.parse().ok(),
        decimals: holding.decimals,
        amount: amount.to_string(),
        ui_amount_string: text,
    }
}
