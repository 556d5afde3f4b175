//! Instructions of the token and memo programs.

use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

/// The token program.
pub const TOKEN_PROGRAM: Pubkey =
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// The token program with extensions.
pub const TOKEN_2022_PROGRAM: Pubkey =
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
/// The memo program.
pub const MEMO_PROGRAM: Pubkey =
    Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

const TRANSFER: u8 = 3;
const TRANSFER_CHECKED: u8 = 12;
const TRANSFER_FEE_EXTENSION: u8 = 26;
const TRANSFER_CHECKED_WITH_FEE: u8 = 1;

/// Which instruction moves the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransferKind {
    /// `TransferChecked`, which names the mint.
    #[default]
    Checked,
    /// `Transfer`, which does not.
    Unchecked,
    /// `TransferCheckedWithFee` of Token-2022, with what is withheld as the fee.
    CheckedWithFee,
}

/// A transfer of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTransfer {
    /// The token program.
    pub program: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// Its decimals.
    pub decimals: u8,
    /// The token account that pays.
    pub source: Pubkey,
    /// Who owns it and signs.
    pub authority: Pubkey,
    /// The token account that is paid.
    pub destination: Pubkey,
    /// Who owns it.
    pub destination_owner: Pubkey,
    /// In base units.
    pub amount: u64,
    /// What a Token-2022 mint keeps of it.
    pub withheld: u64,
    /// Which instruction moves it.
    pub kind: TransferKind,
    /// Keys that the instruction carries besides, in order.
    pub references: Vec<Pubkey>,
}

impl TokenTransfer {
    /// `TransferChecked` between the associated token accounts of two wallets.
    #[must_use]
    pub fn between(from: Pubkey, to: Pubkey, mint: Pubkey, decimals: u8, amount: u64) -> Self {
        Self::within(TOKEN_PROGRAM, from, to, mint, decimals, amount)
    }

    /// The same under another token program.
    #[must_use]
    pub fn within(
        program: Pubkey,
        from: Pubkey,
        to: Pubkey,
        mint: Pubkey,
        decimals: u8,
        amount: u64,
    ) -> Self {
        Self {
            program,
            mint,
            decimals,
            source: get_associated_token_address_with_program_id(&from, &mint, &program),
            authority: from,
            destination: get_associated_token_address_with_program_id(&to, &mint, &program),
            destination_owner: to,
            amount,
            withheld: 0,
            kind: TransferKind::Checked,
            references: Vec::new(),
        }
    }

    /// Carries these keys.
    #[must_use]
    pub fn tagged(mut self, references: &[Pubkey]) -> Self {
        self.references.extend_from_slice(references);
        self
    }

    /// The instruction alone.
    #[must_use]
    pub fn instruction(&self) -> Instruction {
        let mut accounts = vec![AccountMeta::new(self.source, false)];
        if self.kind != TransferKind::Unchecked {
            accounts.push(AccountMeta::new_readonly(self.mint, false));
        }
        accounts.push(AccountMeta::new(self.destination, false));
        accounts.push(AccountMeta::new_readonly(self.authority, true));
        accounts.extend(tags(&self.references));
        Instruction {
            program_id: self.program,
            accounts,
            data: self.data(),
        }
    }

    fn data(&self) -> Vec<u8> {
        let amount = self.amount.to_le_bytes();
        match self.kind {
            TransferKind::Unchecked => [&[TRANSFER], &amount[..]].concat(),
            TransferKind::Checked => [&[TRANSFER_CHECKED], &amount[..], &[self.decimals]].concat(),
            TransferKind::CheckedWithFee => [
                &[TRANSFER_FEE_EXTENSION, TRANSFER_CHECKED_WITH_FEE],
                &amount[..],
                &[self.decimals],
                &self.withheld.to_le_bytes(),
            ]
            .concat(),
        }
    }
}

/// An associated token account that a transaction creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTokenAccount {
    /// The token program.
    pub program: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// Its decimals.
    pub decimals: u8,
    /// Whose account it is.
    pub wallet: Pubkey,
}

impl NewTokenAccount {
    /// The destination of a transfer.
    #[must_use]
    pub const fn for_destination(transfer: &TokenTransfer) -> Self {
        Self {
            program: transfer.program,
            mint: transfer.mint,
            decimals: transfer.decimals,
            wallet: transfer.destination_owner,
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Pubkey {
        get_associated_token_address_with_program_id(&self.wallet, &self.mint, &self.program)
    }

    /// `CreateIdempotent`, paid by `payer`.
    #[must_use]
    pub fn instruction(&self, payer: &Pubkey) -> Instruction {
        create_associated_token_account_idempotent(payer, &self.wallet, &self.mint, &self.program)
    }
}

/// A memo that carries keys without their signatures.
pub fn memo(text: &str, references: &[Pubkey]) -> Instruction {
    Instruction {
        program_id: MEMO_PROGRAM,
        accounts: tags(references).collect(),
        data: text.as_bytes().to_vec(),
    }
}

/// Keys that are only mentioned.
pub fn tags(references: &[Pubkey]) -> impl Iterator<Item = AccountMeta> {
    references
        .iter()
        .map(|key| AccountMeta::new_readonly(*key, false))
}
