//! Balances before and after a transaction.

use std::collections::HashMap;

use solana_pubkey::Pubkey;

use super::{NewTokenAccount, TokenTransfer};

/// What a token account of the usual size must hold.
const TOKEN_ACCOUNT_RENT: u64 = 2_039_280;
/// What a wallet has when nobody has said otherwise.
const WALLET: u64 = 1_000_000_000;

/// The token balances of one account; a missing amount is a missing row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolding {
    /// Its place among the keys; the builder fills it in.
    pub index: usize,
    /// The token account.
    pub account: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// The mint's decimals.
    pub decimals: u8,
    /// The token program.
    pub program: Pubkey,
    /// Who owns it afterwards.
    pub owner: Pubkey,
    /// Who owned it before.
    pub owner_before: Pubkey,
    /// The amount before.
    pub before: Option<u64>,
    /// The amount afterwards.
    pub after: Option<u64>,
    /// What nodes show instead of the plain decimal amount.
    pub shown: Option<String>,
}

/// The balances of one transaction while it is built.
#[derive(Debug, Clone, Default)]
pub struct Book {
    before: HashMap<Pubkey, u64>,
    deltas: HashMap<Pubkey, i128>,
    fixed: HashMap<Pubkey, (u64, u64)>,
    holdings: Vec<TokenHolding>,
}

impl Book {
    /// Sets what an account has before.
    pub fn set_before(&mut self, key: Pubkey, lamports: u64) {
        self.before.insert(key, lamports);
    }

    /// Sets what the rows say, whatever happens in between.
    pub fn fix(&mut self, key: Pubkey, before: u64, after: u64) {
        self.fixed.insert(key, (before, after));
    }

    pub fn pay(&mut self, from: Pubkey, to: Pubkey, lamports: u64) {
        self.before.entry(from).or_insert(WALLET);
        self.before.entry(to).or_insert(WALLET);
        *self.deltas.entry(from).or_default() -= i128::from(lamports);
        *self.deltas.entry(to).or_default() += i128::from(lamports);
    }

    /// Sets the row of a token account.
    pub fn hold(&mut self, holding: TokenHolding) {
        let account = holding.account;
        self.before.entry(account).or_insert(TOKEN_ACCOUNT_RENT);
        self.holdings.retain(|row| row.account != account);
        self.holdings.push(holding);
    }

    pub fn create(&mut self, payer: Pubkey, new: &NewTokenAccount) {
        let account = new.address();
        self.before.insert(account, 0);
        self.pay(payer, account, TOKEN_ACCOUNT_RENT);
        self.hold(TokenHolding {
            index: 0,
            account,
            mint: new.mint,
            decimals: new.decimals,
            program: new.program,
            owner: new.wallet,
            owner_before: new.wallet,
            before: None,
            after: Some(0),
            shown: None,
        });
    }

    pub fn transfer(&mut self, transfer: &TokenTransfer) {
        let received = transfer.amount.saturating_sub(transfer.withheld);
        let source = transfer.source;
        let destination = transfer.destination;
        self.open(transfer, source, transfer.authority, transfer.amount);
        self.open(transfer, destination, transfer.destination_owner, 0);
        self.change(source, -i128::from(transfer.amount));
        self.change(destination, i128::from(received));
    }

    fn open(&mut self, transfer: &TokenTransfer, account: Pubkey, owner: Pubkey, amount: u64) {
        if self.holdings.iter().any(|row| row.account == account) {
            return;
        }
        self.hold(TokenHolding {
            index: 0,
            account,
            mint: transfer.mint,
            decimals: transfer.decimals,
            program: transfer.program,
            owner,
            owner_before: owner,
            before: Some(amount),
            after: Some(amount),
            shown: None,
        });
    }

    /// Changes what a token account holds afterwards. A source that has too little is given what it
    /// lacks beforehand.
    fn change(&mut self, account: Pubkey, delta: i128) {
        let Some(row) = self.holdings.iter_mut().find(|row| row.account == account) else {
            return;
        };
        let after = i128::from(row.after.unwrap_or(0)) + delta;
        if let Ok(missing) = u64::try_from(-after) {
            row.before = Some(row.before.unwrap_or(0).saturating_add(missing));
        }
        row.after = Some(u64::try_from(after.max(0)).unwrap_or(u64::MAX));
    }

    /// The rows in the order of the keys; those of a failed transaction differ by the fee only.
    pub fn close(mut self, payer: Pubkey, keys: &[Pubkey], fee: u64, failed: bool) -> Closed {
        if failed {
            self.deltas.clear();
        }
        *self.deltas.entry(payer).or_default() -= i128::from(fee);
        let (pre_balances, post_balances) = keys.iter().map(|key| self.lamports(key)).unzip();
        let place = |mut row: TokenHolding| {
            row.index = keys.iter().position(|key| *key == row.account)?;
            if failed {
                row.after = row.before;
                row.owner = row.owner_before;
            }
            Some(row)
        };
        let mut tokens: Vec<_> = self.holdings.into_iter().filter_map(place).collect();
        tokens.sort_by_key(|row| row.index);
        Closed {
            pre_balances,
            post_balances,
            tokens,
        }
    }

    fn lamports(&self, key: &Pubkey) -> (u64, u64) {
        if let Some(fixed) = self.fixed.get(key) {
            return *fixed;
        }
        let before = self.before.get(key).copied().unwrap_or(0);
        let delta = self.deltas.get(key).copied().unwrap_or(0);
        let after = (i128::from(before) + delta).max(0);
        (before, u64::try_from(after).unwrap_or(u64::MAX))
    }
}

/// Finished rows.
#[derive(Debug, Clone)]
pub struct Closed {
    pub pre_balances: Vec<u64>,
    pub post_balances: Vec<u64>,
    pub tokens: Vec<TokenHolding>,
}
