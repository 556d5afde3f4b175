//! Accounts, and what transactions do to them.

use solana_pubkey::Pubkey;
use solana_signature::Signature;

use crate::transaction::TokenHolding;

/// The size of a token account without extensions.
const TOKEN_ACCOUNT_BYTES: usize = 165;
const AMOUNT_AT: usize = 64;
const STATE_AT: usize = 108;
const INITIALIZED: u8 = 1;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FakeAccount {
    /// Its balance.
    pub lamports: u64,
    /// The program that owns it; the system program by default.
    pub owner: Pubkey,
    /// Its data.
    pub data: Vec<u8>,
    /// Whether it is a program.
    pub executable: bool,
}

impl FakeAccount {
    /// A wallet with nothing but lamports.
    #[must_use]
    pub fn wallet(lamports: u64) -> Self {
        Self {
            lamports,
            ..Self::default()
        }
    }

    /// A token account of `program`.
    #[must_use]
    pub fn token(program: Pubkey, mint: Pubkey, owner: Pubkey, amount: u64, lamports: u64) -> Self {
        let mut data = vec![0; TOKEN_ACCOUNT_BYTES];
        data[..32].copy_from_slice(mint.as_ref());
        data[32..AMOUNT_AT].copy_from_slice(owner.as_ref());
        data[STATE_AT] = INITIALIZED;
        let mut account = Self {
            lamports,
            owner: program,
            data,
            executable: false,
        };
        account.set_token_amount(amount);
        account
    }

    /// The amount of a token account.
    #[must_use]
    pub fn token_amount(&self) -> Option<u64> {
        let bytes = self.data.get(AMOUNT_AT..AMOUNT_AT + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn set_token_amount(&mut self, amount: u64) {
        if let Some(bytes) = self.data.get_mut(AMOUNT_AT..AMOUNT_AT + 8) {
            bytes.copy_from_slice(&amount.to_le_bytes());
        }
    }

    /// The account after a change, starting from nothing where there was none.
    pub(crate) fn changed(before: Option<Self>, change: &Change) -> Option<Self> {
        let mut account = match (before, &change.tokens) {
            (Some(account), _) => account,
            (None, Some(tokens)) => Self::token(tokens.program, tokens.mint, tokens.owner, 0, 0),
            (None, None) => Self::default(),
        };
        account.lamports = added(account.lamports, change.lamports);
        if let Some(tokens) = &change.tokens {
            let amount = account.token_amount().unwrap_or(0);
            account.set_token_amount(added(amount, tokens.delta));
        }
        (account.lamports > 0 || account.token_amount().is_some_and(|amount| amount > 0))
            .then_some(account)
    }
}

fn added(balance: u64, delta: i128) -> u64 {
    u64::try_from((i128::from(balance) + delta).max(0)).unwrap_or(u64::MAX)
}

/// What one transaction does to one account.
#[derive(Debug, Clone)]
pub struct Change {
    pub by: Signature,
    pub lamports: i128,
    pub tokens: Option<TokenChange>,
}

/// What one transaction does to one token account.
#[derive(Debug, Clone)]
pub struct TokenChange {
    pub program: Pubkey,
    pub mint: Pubkey,
    pub owner: Pubkey,
    pub delta: i128,
}

impl TokenChange {
    pub fn of(holding: &TokenHolding) -> Self {
        let before = i128::from(holding.before.unwrap_or(0));
        let after = i128::from(holding.after.unwrap_or(0));
        Self {
            program: holding.program,
            mint: holding.mint,
            owner: holding.owner,
            delta: after - before,
        }
    }
}
