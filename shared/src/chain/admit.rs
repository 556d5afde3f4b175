//! Whether we broadcast a signed transaction that a wallet hands us. Pure.
//!
//! Judged is what it does, not its bytes: wallets put guards around the payment, take another blockhash, change the
//! compute budget, add memos. It may do nothing besides paying the invoice, or we would broadcast for anybody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use solana_hash::Hash;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_system_interface::program::ID as SYSTEM_PROGRAM;
use solana_transaction::versioned::VersionedTransaction;

use super::movement::{SYSTEM_TRANSFER, TRANSFER, TRANSFER_CHECKED};
use super::{Due, Instruction, Movement, TOKEN_PROGRAMS, movements};

/// The largest transactions that the network carries; version 1 begins with this byte.
const BYTES_MAX: usize = 1_232;
const BYTES_MAX_V1: usize = 4_096;
const V1_PREFIX: u8 = 0x81;
/// No text longer than this encodes one.
const BASE64_MAX: usize = BYTES_MAX_V1.div_ceil(3) * 4;
/// A payment needs its payer, perhaps somebody who pays the fee; more is something else.
const SIGNERS_MAX: usize = 4;
/// Programs of assertions that wallets put around a payment, as many as they like: a transaction's size bounds them.
/// Both were published as Lighthouse (github.com/Jac0xb/lighthouse), the second one first.
const GUARDS: [Pubkey; 2] = [
    Pubkey::from_str_const("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95"),
    Pubkey::from_str_const("L1TEVtgA75k273wWz1s6XMmDhQY5i3MwcvKb4VbZzfK"),
];
const MEMO_PROGRAMS: [Pubkey; 2] = [
    Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    Pubkey::from_str_const("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
];
/// Discriminant of the system program's instruction that keeps a transaction valid for ever.
const ADVANCE_NONCE: u32 = 4;

/// Why a transaction is not broadcast. The texts are part of the console API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The text.
    #[error("bad base64")]
    Base64,
    /// More bytes than the network carries.
    #[error("too large")]
    TooLarge,
    /// Bytes after its end.
    #[error("trailing bytes")]
    TrailingBytes,
    /// No transaction.
    #[error("undecodable")]
    Undecodable,
    /// More signers than a payment needs.
    #[error("too many signers")]
    TooManySigners,
    /// Somebody has not signed.
    #[error("missing signature")]
    MissingSignature,
    /// A signature is not of this transaction.
    #[error("bad signature")]
    BadSignature,
    /// Keys from address tables, which may change until it lands.
    #[error("address tables are not accepted")]
    AddressTables,
    /// It would stay valid for ever.
    #[error("durable nonce")]
    DurableNonce,
    /// A program that has no part in a payment.
    #[error("forbidden program")]
    ForbiddenProgram,
    /// An instruction that has no part in a payment.
    #[error("forbidden instruction")]
    ForbiddenInstruction,
    /// It pays nothing.
    #[error("no transfer")]
    NoTransfer,
    /// It pays something else, too.
    #[error("more than one transfer")]
    SeveralTransfers,
    /// It pays with something else than the invoice's rail.
    #[error("wrong asset")]
    WrongAsset,
    /// Another token.
    #[error("wrong mint")]
    WrongMint,
    /// It pays somebody else.
    #[error("wrong destination")]
    WrongDestination,
    /// It pays from where it pays to, or on behalf of whoever is paid.
    #[error("wrong source")]
    WrongSource,
    /// Who pays has not signed.
    #[error("the payer must sign")]
    PayerMustSign,
    /// Less than is due.
    #[error("amount too small")]
    AmountTooSmall,
    /// The payment does not name the invoice.
    #[error("reference missing")]
    ReferenceMissing,
    /// It names another invoice, too.
    #[error("reference of another invoice")]
    OtherReference,
    /// The invoice is not paid on this chain.
    #[error("rail is not a Solana rail")]
    OtherRail,
    /// One transaction of an invoice at a time, for all of them could land.
    #[error("another transaction of this invoice is under way")]
    AnotherUnderWay,
    /// The chain has the whole amount already.
    #[error("a payment of this invoice is being confirmed")]
    BeingConfirmed,
    /// It would land too late.
    #[error("the invoice's time is over")]
    TimeOver,
    /// It was handed in for another invoice.
    #[error("submitted for another invoice")]
    OtherInvoice,
}

/// A transaction that we broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// What names it.
    pub signature: Signature,
    /// Its bytes, as they came.
    pub wire: Vec<u8>,
    /// Bounds its life.
    pub blockhash: Hash,
    /// Every key it names.
    pub keys: Vec<Pubkey>,
}

/// Judges a signed transaction by what is due. What only the database knows is left to the caller: whether other
/// keys of it are references, too.
pub fn admit(signed_base64: &str, due: &Due) -> Result<Admitted, Rejection> {
    let (wire, transaction) = decode(signed_base64)?;
    check_signatures(&transaction)?;
    let message = &transaction.message;
    if message
        .address_table_lookups()
        .is_some_and(|tables| !tables.is_empty())
    {
        return Err(Rejection::AddressTables);
    }
    let payment = only_payment(&resolved(message)?, due)?;
    check_payment(&payment, message, due)?;
    Ok(Admitted {
        signature: transaction
            .signatures
            .first()
            .copied()
            .ok_or(Rejection::MissingSignature)?,
        wire,
        blockhash: *message.recent_blockhash(),
        keys: message.static_account_keys().to_vec(),
    })
}

/// The signature that names a transaction, if it is one; nothing about it is checked.
#[must_use]
pub fn signature_of(signed_base64: &str) -> Option<Signature> {
    let (_, transaction) = decode(signed_base64).ok()?;
    transaction.signatures.first().copied()
}

fn decode(signed_base64: &str) -> Result<(Vec<u8>, VersionedTransaction), Rejection> {
    if signed_base64.len() > BASE64_MAX {
        return Err(Rejection::TooLarge);
    }
    let wire = STANDARD
        .decode(signed_base64)
        .map_err(|_| Rejection::Base64)?;
    let bytes_max = match wire.first() {
        Some(&V1_PREFIX) => BYTES_MAX_V1,
        _ => BYTES_MAX,
    };
    if wire.len() > bytes_max {
        return Err(Rejection::TooLarge);
    }
    let transaction: VersionedTransaction =
        wincode::deserialize(&wire).map_err(|_| Rejection::Undecodable)?;
    // What we understood must be all there is: a node might understand the rest.
    let understood = wincode::serialize(&transaction).map_err(|_| Rejection::Undecodable)?;
    if understood != wire {
        let has_more = wire.starts_with(&understood);
        return Err(if has_more {
            Rejection::TrailingBytes
        } else {
            Rejection::Undecodable
        });
    }
    transaction.sanitize().map_err(|_| Rejection::Undecodable)?;
    Ok((wire, transaction))
}

/// Nodes do not look at signatures of what they are told to send without preflight.
fn check_signatures(transaction: &VersionedTransaction) -> Result<(), Rejection> {
    if transaction.signatures.len() > SIGNERS_MAX {
        return Err(Rejection::TooManySigners);
    }
    if transaction.signatures.contains(&Signature::default()) {
        return Err(Rejection::MissingSignature);
    }
    if transaction.verify_with_results().contains(&false) {
        return Err(Rejection::BadSignature);
    }
    Ok(())
}

fn resolved(message: &VersionedMessage) -> Result<Vec<Instruction>, Rejection> {
    let keys = message.static_account_keys();
    let key = |index: &u8| keys.get(usize::from(*index)).copied();
    let resolve = |compiled: &solana_message::compiled_instruction::CompiledInstruction| {
        Some(Instruction {
            program: key(&compiled.program_id_index)?,
            accounts: compiled.accounts.iter().map(key).collect::<Option<_>>()?,
            data: compiled.data.clone(),
        })
    };
    let all = message.instructions().iter().map(resolve);
    all.collect::<Option<_>>().ok_or(Rejection::Undecodable)
}

/// What one instruction is to a payment.
enum Part {
    Harmless,
    Transfer(Movement),
}

/// The one transfer of a transaction that does nothing else.
fn only_payment(instructions: &[Instruction], due: &Due) -> Result<Movement, Rejection> {
    let mut transfers = Vec::new();
    for instruction in instructions {
        match part(instruction, due)? {
            Part::Harmless => {}
            Part::Transfer(movement) => transfers.push(movement),
        }
    }
    let mut transfers = transfers.into_iter();
    match (transfers.next(), transfers.next()) {
        (Some(payment), None) => Ok(payment),
        (Some(_), Some(_)) => Err(Rejection::SeveralTransfers),
        (None, _) => Err(Rejection::NoTransfer),
    }
}

fn part(instruction: &Instruction, due: &Due) -> Result<Part, Rejection> {
    let Instruction {
        program,
        accounts,
        data,
    } = instruction;
    let is_harmless = *program == solana_compute_budget_interface::ID
        || MEMO_PROGRAMS.contains(program)
        || GUARDS.contains(program);
    if is_harmless {
        return Ok(Part::Harmless);
    }
    if *program == spl_associated_token_account_interface::program::ID {
        return if makes_our_account(accounts, data, due) {
            Ok(Part::Harmless)
        } else {
            Err(Rejection::ForbiddenInstruction)
        };
    }
    if *program == SYSTEM_PROGRAM {
        match data.first_chunk().map(|tag| u32::from_le_bytes(*tag)) {
            Some(SYSTEM_TRANSFER) => {}
            Some(ADVANCE_NONCE) => return Err(Rejection::DurableNonce),
            _ => return Err(Rejection::ForbiddenInstruction),
        }
    } else if TOKEN_PROGRAMS.contains(program) {
        if !matches!(data.first(), Some(&(TRANSFER | TRANSFER_CHECKED))) {
            return Err(Rejection::ForbiddenInstruction);
        }
    } else {
        return Err(Rejection::ForbiddenProgram);
    }
    let transfer = movements(program, accounts, data).into_iter().next();
    transfer
        .map(Part::Transfer)
        .ok_or(Rejection::ForbiddenInstruction)
}

/// Making the token account to pay to, in either form; accounts are funder, account, wallet, mint, system, program.
fn makes_our_account(accounts: &[Pubkey], data: &[u8], due: &Due) -> bool {
    let account = &due.account;
    let Some((mint, program)) = account.token else {
        return false;
    };
    let ours = [
        account.account,
        account.recipient,
        mint,
        SYSTEM_PROGRAM,
        program,
    ];
    matches!(data, [] | [0 | 1]) && accounts.get(1..) == Some(&ours)
}

fn check_payment(
    payment: &Movement,
    message: &VersionedMessage,
    due: &Due,
) -> Result<(), Rejection> {
    let account = &due.account;
    let program = account.token.map_or(SYSTEM_PROGRAM, |(_, program)| program);
    if payment.program != program {
        return Err(Rejection::WrongAsset);
    }
    // A transfer that names no mint has the destination's.
    let mint = account.token.map(|(mint, _)| mint);
    if payment.mint.is_some() && payment.mint != mint {
        return Err(Rejection::WrongMint);
    }
    if payment.destination != account.account {
        return Err(Rejection::WrongDestination);
    }
    if payment.source == payment.destination || payment.authority == account.recipient {
        return Err(Rejection::WrongSource);
    }
    let signers = usize::from(message.header().num_required_signatures);
    let mut signers = message.static_account_keys().iter().take(signers);
    if !signers.any(|signer| *signer == payment.authority) {
        return Err(Rejection::PayerMustSign);
    }
    if !payment.accounts.contains(&due.reference) {
        return Err(Rejection::ReferenceMissing);
    }
    if payment.units < due.units {
        return Err(Rejection::AmountTooSmall);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
