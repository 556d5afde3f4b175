//! A landed transaction in the form the verifier reads: keys resolved, balances by account. Pure.

use std::collections::HashSet;
use std::str::FromStr;

use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_status_client_types::option_serializer::OptionSerializer;
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, UiInnerInstructions, UiInstruction,
    UiTransactionStatusMeta, UiTransactionTokenBalance,
};

/// Why a transaction cannot be read. Whoever sees this must tell an operator: it may hold money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The node did not say what the transaction did.
    #[error("the node kept no effects")]
    NoEffects,
    /// Not the bytes of a transaction that this version knows.
    #[error("the transaction cannot be decoded")]
    Undecodable,
    /// Its parts contradict each other.
    #[error("parts of the transaction contradict each other: {0}")]
    Mismatch(&'static str),
}

/// An instruction, outer or inner, with its accounts resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The program.
    pub program: Pubkey,
    /// Its own account list.
    pub accounts: Vec<Pubkey>,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What a token account held, before or after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBalance {
    /// The token account.
    pub account: Pubkey,
    /// Its mint.
    pub mint: Pubkey,
    /// The wallet that owns it.
    pub owner: Pubkey,
    /// The token program.
    pub program: Pubkey,
    /// Base units.
    pub units: u64,
}

/// A transaction that landed, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainTransaction {
    /// What names it.
    pub signature: Signature,
    /// The slot it landed in.
    pub slot: u64,
    /// When, in seconds since 1970, by the chain's clock, if the node says.
    pub block_time: Option<i64>,
    /// Whether it did what it was for; a failed one only cost its fee.
    pub succeeded: bool,
    /// Every key it names, those of lookup tables included; the first pays the fee.
    pub keys: Vec<Pubkey>,
    /// Lamports of each key before and after.
    pub lamports: Vec<(u64, u64)>,
    /// The fee, lamports.
    pub fee: u64,
    /// Token accounts before it.
    pub tokens_before: Vec<TokenBalance>,
    /// Token accounts after it.
    pub tokens_after: Vec<TokenBalance>,
    /// All instructions that ran, outer and inner.
    pub instructions: Vec<Instruction>,
}

impl ChainTransaction {
    /// Reads what a node answered (`getTransaction`, base64).
    pub fn decode(landed: &EncodedConfirmedTransactionWithStatusMeta) -> Result<Self, DecodeError> {
        let meta = landed
            .transaction
            .meta
            .as_ref()
            .ok_or(DecodeError::NoEffects)?;
        let transaction = landed
            .transaction
            .transaction
            .decode()
            .ok_or(DecodeError::Undecodable)?;
        let signature = transaction.signatures.first().copied();
        let version = landed.transaction.version.as_ref();
        if version.is_some_and(|version| *version != transaction.version()) {
            return Err(DecodeError::Mismatch("version"));
        }
        let mut keys = transaction.message.static_account_keys().to_vec();
        keys.extend(loaded_keys(&transaction.message, meta)?);
        check(&keys, meta)?;
        let (tokens_before, tokens_after) = tokens(&keys, meta)?;

        let lamports = meta.pre_balances.iter().copied();
        let lamports = lamports.zip(meta.post_balances.iter().copied()).collect();
        let outer = transaction.message.instructions().iter().map(|outer| {
            resolve(
                &keys,
                outer.program_id_index,
                &outer.accounts,
                outer.data.clone(),
            )
        });
        let inner = present(&meta.inner_instructions).into_iter().flatten();
        let inner = inner.flat_map(|UiInnerInstructions { instructions, .. }| instructions);
        let inner = inner.map(|instruction| match instruction {
            UiInstruction::Compiled(inner) => {
                let data = bs58::decode(&inner.data).into_vec().ok();
                resolve(&keys, inner.program_id_index, &inner.accounts, data?)
            }
            UiInstruction::Parsed(_) => None,
        });
        let instructions = outer.chain(inner).collect::<Option<_>>();
        Ok(Self {
            signature: signature.ok_or(DecodeError::Undecodable)?,
            slot: landed.slot,
            block_time: landed.block_time,
            succeeded: meta.err.is_none(),
            lamports,
            fee: meta.fee,
            tokens_before,
            tokens_after,
            instructions: instructions.ok_or(DecodeError::Mismatch("instructions"))?,
            keys,
        })
    }
}

/// "none" and "left out" mean the same.
fn present<T>(value: &OptionSerializer<T>) -> Option<&T> {
    match value {
        OptionSerializer::Some(value) => Some(value),
        OptionSerializer::None | OptionSerializer::Skip => None,
    }
}

/// The keys from lookup tables, as many of each kind as the message asks for.
fn loaded_keys(
    message: &VersionedMessage,
    meta: &UiTransactionStatusMeta,
) -> Result<Vec<Pubkey>, DecodeError> {
    let tables = message.address_table_lookups().unwrap_or_default();
    let writable: usize = tables.iter().map(|t| t.writable_indexes.len()).sum();
    let readonly: usize = tables.iter().map(|t| t.readonly_indexes.len()).sum();
    let loaded = present(&meta.loaded_addresses);
    let given = loaded.map_or((0, 0), |l| (l.writable.len(), l.readonly.len()));
    if given != (writable, readonly) {
        return Err(DecodeError::Mismatch("loaded addresses"));
    }
    let keys = loaded.map(|loaded| loaded.writable.iter().chain(&loaded.readonly));
    keys.into_iter()
        .flatten()
        .map(|key| Pubkey::from_str(key).map_err(|_| DecodeError::Mismatch("loaded addresses")))
        .collect()
}

/// What no node may say of a transaction that landed, for whatever follows from it would be wrong.
fn check(keys: &[Pubkey], meta: &UiTransactionStatusMeta) -> Result<(), DecodeError> {
    if keys.iter().collect::<HashSet<_>>().len() != keys.len() {
        return Err(DecodeError::Mismatch("keys"));
    }
    if meta.pre_balances.len() != keys.len() || meta.post_balances.len() != keys.len() {
        return Err(DecodeError::Mismatch("balances"));
    }
    if meta.pre_balances.first().is_none_or(|had| *had < meta.fee) {
        return Err(DecodeError::Mismatch("fee"));
    }
    if meta.err.is_none() != meta.status.is_ok() {
        return Err(DecodeError::Mismatch("status"));
    }
    Ok(())
}

fn resolve(keys: &[Pubkey], program: u8, accounts: &[u8], data: Vec<u8>) -> Option<Instruction> {
    let key = |index: &u8| keys.get(usize::from(*index)).copied();
    Some(Instruction {
        program: key(&program)?,
        accounts: accounts.iter().map(key).collect::<Option<_>>()?,
        data,
    })
}

/// Token balances before and after. With one of them missing, everything that was ever held would seem to move.
fn tokens(
    keys: &[Pubkey],
    meta: &UiTransactionStatusMeta,
) -> Result<(Vec<TokenBalance>, Vec<TokenBalance>), DecodeError> {
    let (before, after) = (&meta.pre_token_balances, &meta.post_token_balances);
    match (present(before), present(after)) {
        (Some(before), Some(after)) => {
            Ok((token_balances(keys, before)?, token_balances(keys, after)?))
        }
        (None, None) => Err(DecodeError::NoEffects),
        _ => Err(DecodeError::Mismatch("token balances")),
    }
}

fn token_balances(
    keys: &[Pubkey],
    rows: &[UiTransactionTokenBalance],
) -> Result<Vec<TokenBalance>, DecodeError> {
    let mut seen = HashSet::new();
    let mut read = |row: &UiTransactionTokenBalance| {
        Some(TokenBalance {
            account: keys
                .get(usize::from(row.account_index))
                .copied()
                .filter(|account| seen.insert(*account))?,
            mint: row.mint.parse().ok()?,
            owner: present(&row.owner)?.parse().ok()?,
            program: present(&row.program_id)?.parse().ok()?,
            units: row.ui_token_amount.amount.parse().ok()?,
        })
    };
    rows.iter()
        .map(|row| read(row).ok_or(DecodeError::Mismatch("token balances")))
        .collect()
}
