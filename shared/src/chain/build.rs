//! The transaction that pays an invoice, unsigned. Pure, and the same for the same question.

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::legacy::Message;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_system_interface::instruction::transfer;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

use super::DepositAccount;
use super::movement::TRANSFER_CHECKED;

/// Limits of compute units. Wallets add guards of their own without always raising them, so there is room.
const UNITS_NATIVE: u32 = 60_000;
const UNITS_TOKEN: u32 = 100_000;
const UNITS_TOKEN_AND_ACCOUNT: u32 = 160_000;

/// What an invoice asks for, in terms of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Where it is to be paid.
    pub account: DepositAccount,
    /// How much, base units.
    pub units: u64,
    /// The key that says which invoice is paid.
    pub reference: Pubkey,
}

/// What else a transaction depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The wallet that pays, and signs.
    pub payer: Pubkey,
    /// A key that all payments of the deployment name.
    pub beacon: Option<Pubkey>,
    /// Whether the token account to pay to must be made first; the payer pays for it.
    pub makes_account: bool,
    /// Price of a compute unit, millionths of a lamport.
    pub unit_price_micro_lamports: u64,
    /// Bounds its life.
    pub blockhash: Hash,
}

/// The bytes of the transaction, with an empty place for each signature. Legacy, because every signer knows that
/// form; the transfer is last, because some wallets insist.
#[must_use]
pub fn unsigned_payment(due: &Due, terms: &Terms) -> Vec<u8> {
    let account = &due.account;
    let makes_account = terms.makes_account && account.token.is_some();
    let limit = match (account.token.is_some(), makes_account) {
        (false, _) => UNITS_NATIVE,
        (true, false) => UNITS_TOKEN,
        (true, true) => UNITS_TOKEN_AND_ACCOUNT,
    };
    let mut instructions = vec![
        ComputeBudgetInstruction::set_compute_unit_limit(limit),
        ComputeBudgetInstruction::set_compute_unit_price(terms.unit_price_micro_lamports),
    ];
    if let Some((mint, program)) = account.token.filter(|_| makes_account) {
        let wallet = &account.recipient;
        instructions.push(create_associated_token_account_idempotent(
            &terms.payer,
            wallet,
            &mint,
            &program,
        ));
    }
    let mut payment = match account.token {
        None => transfer(&terms.payer, &account.account, due.units),
        Some((mint, program)) => transfer_checked(due, &terms.payer, mint, program),
    };
    let marks = [Some(due.reference), terms.beacon];
    let marks = marks.into_iter().flatten();
    payment
        .accounts
        .extend(marks.map(|key| AccountMeta::new_readonly(key, false)));
    instructions.push(payment);

    let message = Message::new_with_blockhash(&instructions, Some(&terms.payer), &terms.blockhash);
    let signers = message.header.num_required_signatures;
    let mut wire = vec![signers];
    wire.extend((0..signers).flat_map(|_| <[u8; 64]>::from(Signature::default())));
    wire.extend(message.serialize());
    wire
}

/// Written out, because the client library's own makes it for the older of the two token programs only.
fn transfer_checked(due: &Due, payer: &Pubkey, mint: Pubkey, program: Pubkey) -> Instruction {
    let source = get_associated_token_address_with_program_id(payer, &mint, &program);
    let mut data = vec![TRANSFER_CHECKED];
    data.extend(due.units.to_le_bytes());
    data.push(due.account.rail.decimals());
    Instruction {
        program_id: program,
        accounts: vec![
            AccountMeta::new(source, false),
            AccountMeta::new_readonly(mint, false),
            AccountMeta::new(due.account.account, false),
            AccountMeta::new_readonly(*payer, true),
        ],
        data,
    }
}

#[cfg(test)]
mod tests;
