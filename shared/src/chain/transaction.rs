//! A landed transaction in the form the verifier reads: keys resolved, balances by account. Pure.

use std::str::FromStr;

use solana_pubkey::Pubkey;
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
    #[error("{0} do not fit the transaction's keys")]
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
    /// The slot it landed in.
    pub slot: u64,
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
        let mut keys = transaction.message.static_account_keys().to_vec();
        keys.extend(loaded_keys(meta)?);

        if meta.pre_balances.len() != keys.len() || meta.post_balances.len() != keys.len() {
            return Err(DecodeError::Mismatch("balances"));
        }
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
            slot: landed.slot,
            succeeded: meta.err.is_none(),
            lamports,
            fee: meta.fee,
            tokens_before: token_balances(&keys, present(&meta.pre_token_balances))?,
            tokens_after: token_balances(&keys, present(&meta.post_token_balances))?,
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

fn loaded_keys(meta: &UiTransactionStatusMeta) -> Result<Vec<Pubkey>, DecodeError> {
    let Some(loaded) = present(&meta.loaded_addresses) else {
        return Ok(Vec::new());
    };
    let keys = loaded.writable.iter().chain(&loaded.readonly);
    keys.map(|key| Pubkey::from_str(key).map_err(|_| DecodeError::Mismatch("loaded addresses")))
        .collect()
}

fn resolve(keys: &[Pubkey], program: u8, accounts: &[u8], data: Vec<u8>) -> Option<Instruction> {
    let key = |index: &u8| keys.get(usize::from(*index)).copied();
    Some(Instruction {
        program: key(&program)?,
        accounts: accounts.iter().map(key).collect::<Option<_>>()?,
        data,
    })
}

fn token_balances(
    keys: &[Pubkey],
    rows: Option<&Vec<UiTransactionTokenBalance>>,
) -> Result<Vec<TokenBalance>, DecodeError> {
    let read = |row: &UiTransactionTokenBalance| {
        Some(TokenBalance {
            account: keys.get(usize::from(row.account_index)).copied()?,
            mint: row.mint.parse().ok()?,
            owner: present(&row.owner)?.parse().ok()?,
            program: present(&row.program_id)?.parse().ok()?,
            units: row.ui_token_amount.amount.parse().ok()?,
        })
    };
    rows.into_iter()
        .flatten()
        .map(|row| read(row).ok_or(DecodeError::Mismatch("token balances")))
        .collect()
}
