//! Transactions as a block has them: the signed bytes and what the node says about their effect.

mod book;
mod builder;
mod encode;
mod token;
mod wire;

use serde_json::Value;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{InnerInstructions, UiTransactionError};

pub use book::TokenHolding;
pub use builder::{BuildError, TransactionBuilder};
pub use token::{
    MEMO_PROGRAM, NewTokenAccount, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, TokenTransfer, TransferKind,
};
pub use wire::Version;

pub(crate) use encode::{encoded, version_number};
pub(crate) use wire::decode;

/// One transaction; every field may be bent by a test.
#[derive(Debug, Clone)]
pub struct FakeTransaction {
    /// What names it.
    pub signature: Signature,
    /// The signed bytes.
    pub wire: Vec<u8>,
    /// The version that nodes report.
    pub version: Version,
    /// The blockhash that bounds its life.
    pub blockhash: Hash,
    /// Why it failed, if it did.
    pub err: Option<TransactionError>,
    /// The keys in the bytes.
    pub static_keys: Vec<Pubkey>,
    /// Writable keys from lookup tables.
    pub loaded_writable: Vec<Pubkey>,
    /// Read-only keys from lookup tables.
    pub loaded_readonly: Vec<Pubkey>,
    /// The fee in lamports.
    pub fee: u64,
    /// Lamports before, one per key.
    pub pre_balances: Vec<u64>,
    /// Lamports after, one per key.
    pub post_balances: Vec<u64>,
    /// The token accounts among the keys.
    pub tokens: Vec<TokenHolding>,
    /// What programs called.
    pub inner: Vec<InnerInstructions>,
    /// What programs said.
    pub logs: Vec<String>,
    /// The memo that nodes list beside the signature.
    pub memo: Option<String>,
    /// Whether nodes have lost the effect and report `meta: null`.
    pub without_meta: bool,
}

impl FakeTransaction {
    /// All keys in the order of the balances.
    pub fn keys(&self) -> impl Iterator<Item = Pubkey> {
        let loaded = self.loaded_writable.iter().chain(&self.loaded_readonly);
        self.static_keys.iter().chain(loaded).copied()
    }

    /// Whether it mentions a key.
    #[must_use]
    pub fn mentions(&self, key: &Pubkey) -> bool {
        self.keys().any(|mentioned| mentioned == *key)
    }

    /// Why it failed, as nodes write it.
    pub(crate) fn error_json(&self) -> Value {
        let err = self.err.clone().map(UiTransactionError::from);
        serde_json::to_value(err).unwrap_or(Value::Null)
    }

    /// The signed bytes in base64.
    #[must_use]
    pub fn wire_base64(&self) -> String {
        wire::base64(&self.wire)
    }
}
