//! Transactions: put together from instructions or taken from somebody else, and signed.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::v1::TransactionConfig;
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage, v0, v1};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::{Signer, SignerError};
use solana_transaction::versioned::VersionedTransaction;

use super::wallet::Wallet;

/// What version 1 may use: plenty for a payment, and what older versions are given unasked.
const COMPUTE_UNITS: u32 = 400_000;
const LOADED_BYTES: u32 = 64 * 1024 * 1024;

/// What is wrong with a transaction.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The instructions do not fit into one message.
    #[error("these instructions make no message: {0}")]
    Compile(String),
    /// The wallets are not those that must sign.
    #[error("these wallets cannot sign it: {0}")]
    Signers(#[from] SignerError),
    /// The bytes are no transaction.
    #[error("these bytes are no transaction: {0}")]
    Decode(String),
    /// The transaction cannot be written as bytes.
    #[error("the transaction cannot be written as bytes: {0}")]
    Encode(wincode::WriteError),
    /// The wallet has nothing to sign.
    #[error("{0} is not among those who must sign")]
    NotASigner(Pubkey),
}

/// The library does not name its error's type.
fn no_message(error: impl std::fmt::Display) -> SigningError {
    SigningError::Compile(error.to_string())
}

/// The form of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The first form, without a version.
    Legacy,
    /// With address lookup tables.
    V0,
    /// Larger, and its compute budget is in the header.
    V1,
}

/// A transaction that was signed.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The transaction.
    pub transaction: VersionedTransaction,
    /// Its bytes, to be sent.
    pub bytes: Vec<u8>,
}

impl Signed {
    fn of(transaction: VersionedTransaction) -> Result<Self, SigningError> {
        let bytes = wincode::serialize(&transaction).map_err(SigningError::Encode)?;
        Ok(Self { transaction, bytes })
    }

    /// The fee payer's signature, under which the chain knows it.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.transaction
            .signatures
            .first()
            .copied()
            .unwrap_or_default()
    }

    /// Its bytes in base64.
    #[must_use]
    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(&self.bytes)
    }
}

/// Makes a transaction that the payer and the cosigners sign.
pub fn sign(
    version: Version,
    payer: &Wallet,
    cosigners: &[&Wallet],
    instructions: &[Instruction],
    blockhash: Hash,
) -> Result<Signed, SigningError> {
    let key = payer.address();
    let message = match version {
        Version::Legacy => {
            let message = Message::new_with_blockhash(instructions, Some(&key), &blockhash);
            VersionedMessage::Legacy(message)
        }
        Version::V0 => return sign_with_tables(payer, cosigners, instructions, &[], blockhash),
        Version::V1 => {
            let message =
                v1::Message::try_compile_with_config(&key, instructions, blockhash, v1_budget());
            VersionedMessage::V1(message.map_err(no_message)?)
        }
    };
    sign_message(message, payer, cosigners)
}

/// Version 1 takes what it may use from its header, and nothing means none.
fn v1_budget() -> TransactionConfig {
    TransactionConfig::empty()
        .with_compute_unit_limit(COMPUTE_UNITS)
        .with_loaded_accounts_data_size_limit(LOADED_BYTES)
}

/// Makes a transaction of version 0 that reads addresses from lookup tables.
pub fn sign_with_tables(
    payer: &Wallet,
    cosigners: &[&Wallet],
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
    blockhash: Hash,
) -> Result<Signed, SigningError> {
    let message = v0::Message::try_compile(&payer.address(), instructions, tables, blockhash);
    let message = message.map_err(no_message)?;
    sign_message(VersionedMessage::V0(message), payer, cosigners)
}

/// Signs a message of any making.
pub fn sign_message(
    message: VersionedMessage,
    payer: &Wallet,
    cosigners: &[&Wallet],
) -> Result<Signed, SigningError> {
    let keypairs: Vec<&Keypair> = [payer]
        .iter()
        .chain(cosigners)
        .map(|wallet| wallet.keypair())
        .collect();
    Signed::of(VersionedTransaction::try_new(message, keypairs.as_slice())?)
}

/// Adds a wallet's signature to a transaction (base64) that somebody else has put together.
pub fn sign_received(transaction: &str, wallet: &Wallet) -> Result<Signed, SigningError> {
    let mut transaction = decode(transaction)?;
    let address = wallet.address();
    let required = usize::from(transaction.message.header().num_required_signatures);
    let mut signers = transaction
        .message
        .static_account_keys()
        .iter()
        .take(required);
    let place = signers.position(|key| *key == address);
    let signature = wallet
        .keypair()
        .try_sign_message(&transaction.message.serialize())?;
    let slot = place.and_then(|place| transaction.signatures.get_mut(place));
    *slot.ok_or(SigningError::NotASigner(address))? = signature;
    Signed::of(transaction)
}

/// Reads a transaction (base64).
pub fn decode(transaction: &str) -> Result<VersionedTransaction, SigningError> {
    let bytes = BASE64_STANDARD.decode(transaction);
    let bytes = bytes.map_err(|error| SigningError::Decode(error.to_string()))?;
    wincode::deserialize(&bytes).map_err(|error| SigningError::Decode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::instructions::transfer;

    #[test]
    fn every_version_is_signed_and_read_back() {
        let [payer, other] = [Wallet::random(), Wallet::random()];
        let pay = transfer(&other.address(), &payer.address(), 1, &[]);
        for version in [Version::Legacy, Version::V0, Version::V1] {
            let signed = sign(
                version,
                &payer,
                &[&other],
                std::slice::from_ref(&pay),
                Hash::new_unique(),
            );
            let signed = signed.expect("signed");
            let read = decode(&signed.base64()).expect("its own bytes");
            assert_eq!(read, signed.transaction, "{version:?}");
            assert_eq!(read.verify_with_results(), [true, true], "{version:?}");
            assert!(matches!(
                sign(
                    version,
                    &payer,
                    &[],
                    std::slice::from_ref(&pay),
                    Hash::new_unique()
                ),
                Err(SigningError::Signers(_))
            ));
        }
    }

    #[test]
    fn a_received_transaction_is_signed_in_the_right_place() {
        let [payer, other] = [Wallet::random(), Wallet::random()];
        let pay = transfer(&other.address(), &payer.address(), 1, &[]);
        let signed = sign(Version::V0, &payer, &[&other], &[pay], Hash::new_unique());
        let mut stripped = signed.expect("signed").transaction;
        let second = stripped.signatures.pop();
        stripped.signatures.push(Signature::default());
        let text = Signed::of(stripped).expect("bytes").base64();
        let again = sign_received(&text, &other).expect("signed");
        assert_eq!(again.transaction.signatures.last().copied(), second);
        let stranger = sign_received(&text, &Wallet::random());
        assert!(matches!(stranger, Err(SigningError::NotASigner(_))));
    }
}
