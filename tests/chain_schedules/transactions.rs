//! What a transaction does to accounts of ours, told from its balances alone.

use fault_kit::FakeTransaction;
use solana_pubkey::Pubkey;

use crate::ground::Account;

/// What one transaction did to one account, base units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// What came in.
    pub gain: i128,
    /// What went out, fees included.
    pub loss: i128,
}

/// What a transaction did to each account.
pub fn effects(transaction: &FakeTransaction, accounts: &[Account; 3]) -> [Effect; 3] {
    accounts.map(|account| effect(transaction, &account))
}

fn effect(transaction: &FakeTransaction, account: &Account) -> Effect {
    let Some(place) = transaction.keys().position(|key| key == account.key) else {
        return Effect::default();
    };
    if account.mint.is_some() {
        return split(tokens(transaction, account.key), 0);
    }
    let before = i128::from(transaction.pre_balances[place]);
    let after = i128::from(transaction.post_balances[place]);
    let fee = if place == 0 {
        i128::from(transaction.fee)
    } else {
        0
    };
    split(after - before, fee)
}

/// The fee is not part of what was moved.
fn split(net: i128, fee: i128) -> Effect {
    match net + fee {
        moved if moved > 0 => Effect {
            gain: moved,
            loss: fee,
        },
        _ => Effect {
            gain: 0,
            loss: -net,
        },
    }
}

fn tokens(transaction: &FakeTransaction, account: Pubkey) -> i128 {
    let rows = transaction.tokens.iter();
    let own = rows.filter(|row| row.account == account);
    own.map(|row| i128::from(row.after.unwrap_or(0)) - i128::from(row.before.unwrap_or(0)))
        .sum()
}
