//! Signed bytes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::v0::LoadedAddresses;
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage, v0, v1};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

use super::BuildError;

/// The version of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Without a version.
    #[default]
    Legacy,
    /// Version 0, which may use lookup tables.
    V0,
    /// Version 1, whose limits are in its header.
    V1,
    /// A version that nobody knows yet: the bytes are those of version 0 under another number.
    Other(u8),
}

const VERSION_BIT: u8 = 0x80;

pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The transaction in signed bytes, if it has a version that is known.
pub fn decode(bytes: &[u8]) -> Option<VersionedTransaction> {
    let transaction: VersionedTransaction = wincode::deserialize(bytes).ok()?;
    let whole = wincode::serialize(&transaction).is_ok_and(|again| again == bytes);
    (whole && transaction.sanitize().is_ok()).then_some(transaction)
}

/// A signed transaction and its keys.
pub struct Signed {
    pub signature: Signature,
    pub wire: Vec<u8>,
    pub static_keys: Vec<Pubkey>,
    pub loaded: LoadedAddresses,
}

impl Signed {
    pub fn new(
        version: Version,
        instructions: &[Instruction],
        tables: &[AddressLookupTableAccount],
        blockhash: Hash,
        signers: &[Keypair],
    ) -> Result<Self, BuildError> {
        let payer = signers.first().map(Signer::pubkey).unwrap_or_default();
        let message = match version {
            Version::Legacy => VersionedMessage::Legacy(Message::new_with_blockhash(
                instructions,
                Some(&payer),
                &blockhash,
            )),
            Version::V1 => {
                VersionedMessage::V1(v1::Message::try_compile(&payer, instructions, blockhash)?)
            }
            Version::V0 | Version::Other(_) => VersionedMessage::V0(v0::Message::try_compile(
                &payer,
                instructions,
                tables,
                blockhash,
            )?),
        };
        let static_keys = message.static_account_keys().to_vec();
        let loaded = loaded(&message, tables);
        let mut signed = VersionedTransaction::try_new(message, signers)?;
        let wire = match version {
            Version::Other(number) => renumbered(&mut signed, number, signers),
            _ => wincode::serialize(&signed)?,
        };
        Ok(Self {
            signature: signed.signatures.first().copied().unwrap_or_default(),
            wire,
            static_keys,
            loaded,
        })
    }

    pub fn keys(&self) -> Vec<Pubkey> {
        let loaded = self.loaded.writable.iter().chain(&self.loaded.readonly);
        self.static_keys.iter().chain(loaded).copied().collect()
    }
}

/// Signs again with another number in the place of version 0.
fn renumbered(signed: &mut VersionedTransaction, number: u8, signers: &[Keypair]) -> Vec<u8> {
    let mut message = signed.message.serialize();
    if let Some(prefix) = message.first_mut() {
        *prefix = VERSION_BIT | number;
    }
    let keys = signed.message.static_account_keys();
    for (signature, key) in signed.signatures.iter_mut().zip(keys) {
        if let Some(signer) = signers.iter().find(|signer| signer.pubkey() == *key) {
            *signature = signer.sign_message(&message);
        }
    }
    let mut wire = vec![u8::try_from(signed.signatures.len()).unwrap_or(1)];
    for signature in &signed.signatures {
        wire.extend_from_slice(signature.as_ref());
    }
    wire.extend(message);
    wire
}

/// What the message takes from the tables: all writable keys of all tables come first.
fn loaded(message: &VersionedMessage, tables: &[AddressLookupTableAccount]) -> LoadedAddresses {
    let mut loaded = LoadedAddresses::default();
    for lookup in message.address_table_lookups().unwrap_or_default() {
        let Some(table) = tables.iter().find(|table| table.key == lookup.account_key) else {
            continue;
        };
        let key = |index: &u8| table.addresses.get(usize::from(*index)).copied();
        loaded
            .writable
            .extend(lookup.writable_indexes.iter().filter_map(key));
        loaded
            .readonly
            .extend(lookup.readonly_indexes.iter().filter_map(key));
    }
    loaded
}
