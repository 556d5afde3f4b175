//! Instructions of the kinds that payments are made of.

use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_memo_interface::instruction::build_memo;
use spl_token_interface::instruction::TokenInstruction;

/// Decimals of the tokens that the stack creates, as those of USDC and USDT.
pub const TOKEN_DECIMALS: u8 = 6;
/// The size of a mint without extensions.
pub const MINT_BYTES: u64 = 82;

/// A kind of token: its mint, and the program that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The mint.
    pub mint: Pubkey,
    /// The token program.
    pub program: Pubkey,
    /// How many of the digits are behind the point.
    pub decimals: u8,
}

impl Token {
    /// A token of the original token program.
    #[must_use]
    pub fn spl(mint: Pubkey, decimals: u8) -> Self {
        Self {
            mint,
            program: spl_token_interface::ID,
            decimals,
        }
    }

    /// The account in which the owner's wallet keeps this token.
    #[must_use]
    pub fn account_of(&self, owner: &Pubkey) -> Pubkey {
        get_associated_token_address_with_program_id(owner, &self.mint, &self.program)
    }

    fn instruction(&self, data: &TokenInstruction<'_>, accounts: Vec<AccountMeta>) -> Instruction {
        Instruction {
            program_id: self.program,
            accounts,
            data: data.pack(),
        }
    }
}

/// Moves lamports. The extra keys are named read-only after the accounts that the transfer needs.
#[must_use]
pub fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64, extra: &[Pubkey]) -> Instruction {
    naming(system::transfer(from, to, lamports), extra)
}

/// Moves tokens from one wallet's account to the other's (`TransferChecked`). The extra keys are
/// named read-only after the accounts that the transfer needs.
#[must_use]
pub fn transfer_tokens(
    token: &Token,
    from: &Pubkey,
    to: &Pubkey,
    amount: u64,
    extra: &[Pubkey],
) -> Instruction {
    let (source, destination) = (token.account_of(from), token.account_of(to));
    transfer_between(token, &source, &destination, from, amount, extra)
}

/// Moves tokens between any two accounts of which the first is the owner's (`TransferChecked`).
#[must_use]
pub fn transfer_between(
    token: &Token,
    source: &Pubkey,
    destination: &Pubkey,
    owner: &Pubkey,
    amount: u64,
    extra: &[Pubkey],
) -> Instruction {
    let data = TokenInstruction::TransferChecked {
        amount,
        decimals: token.decimals,
    };
    let accounts = vec![
        AccountMeta::new(*source, false),
        AccountMeta::new_readonly(token.mint, false),
        AccountMeta::new(*destination, false),
        AccountMeta::new_readonly(*owner, true),
    ];
    naming(token.instruction(&data, accounts), extra)
}

/// Moves tokens without naming their mint (`Transfer`), as some old wallets do.
#[must_use]
pub fn transfer_unchecked(
    token: &Token,
    from: &Pubkey,
    to: &Pubkey,
    amount: u64,
    extra: &[Pubkey],
) -> Instruction {
    let accounts = vec![
        AccountMeta::new(token.account_of(from), false),
        AccountMeta::new(token.account_of(to), false),
        AccountMeta::new_readonly(*from, true),
    ];
    let transfer = token.instruction(&TokenInstruction::Transfer { amount }, accounts);
    naming(transfer, extra)
}

/// A note in the transaction, with read-only keys and without signers.
#[must_use]
pub fn memo(text: &str, extra: &[Pubkey]) -> Instruction {
    let note = build_memo(&spl_memo_interface::v3::ID, text.as_bytes(), &[]);
    naming(note, extra)
}

/// Creates the account in which the owner's wallet keeps the token, unless there is one.
#[must_use]
pub fn create_token_account(payer: &Pubkey, owner: &Pubkey, token: &Token) -> Instruction {
    create_associated_token_account_idempotent(payer, owner, &token.mint, &token.program)
}

/// Creates a mint without extensions; it must sign, too.
#[must_use]
pub fn create_mint(
    payer: &Pubkey,
    token: &Token,
    mint_authority: &Pubkey,
    rent: u64,
) -> [Instruction; 2] {
    let data = TokenInstruction::InitializeMint2 {
        decimals: token.decimals,
        mint_authority: *mint_authority,
        freeze_authority: None.into(),
    };
    let accounts = vec![AccountMeta::new(token.mint, false)];
    [
        system::create_account(payer, &token.mint, rent, MINT_BYTES, &token.program),
        token.instruction(&data, accounts),
    ]
}

/// Makes new tokens in the owner's account.
#[must_use]
pub fn mint_to(token: &Token, owner: &Pubkey, mint_authority: &Pubkey, amount: u64) -> Instruction {
    let accounts = vec![
        AccountMeta::new(token.mint, false),
        AccountMeta::new(token.account_of(owner), false),
        AccountMeta::new_readonly(*mint_authority, true),
    ];
    token.instruction(&TokenInstruction::MintTo { amount }, accounts)
}

/// The instruction, naming these keys, too.
fn naming(mut instruction: Instruction, extra: &[Pubkey]) -> Instruction {
    let named = extra
        .iter()
        .map(|key| AccountMeta::new_readonly(*key, false));
    instruction.accounts.extend(named);
    instruction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_keys_are_read_only_and_last() {
        let [payer, shop, reference, beacon] = [(); 4].map(|()| Pubkey::new_unique());
        let token = Token::spl(Pubkey::new_unique(), TOKEN_DECIMALS);
        let extra = [reference, beacon];
        for instruction in [
            transfer(&payer, &shop, 1, &extra),
            transfer_tokens(&token, &payer, &shop, 1, &extra),
            transfer_unchecked(&token, &payer, &shop, 1, &extra),
            memo("note", &extra),
        ] {
            let [.., first, second] = &instruction.accounts[..] else {
                panic!("too few accounts");
            };
            assert_eq!(
                [first, second],
                [
                    &AccountMeta::new_readonly(reference, false),
                    &AccountMeta::new_readonly(beacon, false)
                ]
            );
        }
    }
}
