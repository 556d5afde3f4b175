//! What a transaction did to an account of ours, net. Pure.

use solana_pubkey::Pubkey;

use super::{ChainTransaction, DepositAccount, TokenBalance};

/// What a transaction did to one account.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// It gained so much, net.
    pub gain: u64,
    /// It gained so much, and is somebody else's now.
    pub stolen: u64,
    /// So much left it that no gain makes up for.
    pub outflow: u64,
}

/// The net effect on one account. A missing balance is zero: the account may be made or closed by the transaction.
pub(super) fn change(transaction: &ChainTransaction, account: &DepositAccount) -> Change {
    let Some((mint, program)) = account.token else {
        return lamports(transaction, account);
    };
    let ours = |row: &&TokenBalance| {
        row.account == account.account && row.mint == mint && row.program == program
    };
    let before = transaction.tokens_before.iter().find(ours);
    let after = transaction.tokens_after.iter().find(ours);
    let had = before.map_or(0, |row| row.units);
    let has = after.map_or(0, |row| row.units);
    let is_ours = after.is_none_or(|row| row.owner == account.recipient);
    if !is_ours {
        // What it had went with it.
        let was_ours = before.is_some_and(|row| row.owner == account.recipient);
        return Change {
            stolen: has.saturating_sub(had),
            outflow: if was_ours { had } else { 0 },
            ..Change::default()
        };
    }
    Change {
        gain: has.saturating_sub(had),
        outflow: had.saturating_sub(has),
        ..Change::default()
    }
}

fn lamports(transaction: &ChainTransaction, account: &DepositAccount) -> Change {
    let key = |key: &Pubkey| *key == account.account;
    let Some(place) = transaction.keys.iter().position(key) else {
        return Change::default();
    };
    let (had, has) = transaction.lamports.get(place).copied().unwrap_or_default();
    // The fee is not part of what was moved; without this, a fee payer's gain would look smaller.
    let fee = if place == 0 { transaction.fee } else { 0 };
    let gain = if transaction.succeeded {
        has.saturating_add(fee).saturating_sub(had)
    } else {
        0
    };
    Change {
        gain,
        outflow: had.saturating_add(gain).saturating_sub(has),
        ..Change::default()
    }
}
