//! What a transaction pays, and for which invoices. Pure.
//!
//! Credited is the net effect on a deposit account, never what an instruction claims; a reference only says whose
//! money it is. Over all invoices never more is credited than an account gained.

use std::collections::BTreeMap;

use solana_pubkey::Pubkey;
use solana_system_interface::program::ID as SYSTEM_PROGRAM;

use super::{ChainTransaction, DepositAccount, Movement, movements};
use crate::ids::InvoiceId;
use crate::invoices::Rail;

/// An invoice whose reference a transaction names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedInvoice {
    /// The invoice.
    pub id: InvoiceId,
    /// Its reference.
    pub reference: Pubkey,
    /// What it is paid with.
    pub rail: Rail,
    /// The wallet it asks to pay to.
    pub recipient: Pubkey,
}

/// Money for an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// The account that gained it.
    pub account: Pubkey,
    /// The invoice.
    pub invoice: InvoiceId,
    /// Base units.
    pub units: u64,
}

/// Why money is not credited without an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenReason {
    /// It names no invoice.
    Untagged,
    /// It names an invoice that is paid with something else.
    OtherRail,
    /// It names several invoices and does not say how much is for which.
    Ambiguous,
    /// Part of it is for invoices, the rest is for none.
    Remainder,
    /// Lamports that came without a transfer: rent, rewards.
    NoTransfer,
    /// It went to an account that is not the one to pay to, though it belongs to the same wallet.
    OtherAccount,
    /// The deposit account belongs to somebody else by now.
    OwnerChanged,
}

impl OpenReason {
    /// Its name for operators.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Untagged => "untagged",
            Self::OtherRail => "other_rail",
            Self::Ambiguous => "ambiguous",
            Self::Remainder => "remainder",
            Self::NoTransfer => "no_transfer",
            Self::OtherAccount => "other_account",
            Self::OwnerChanged => "owner_changed",
        }
    }
}

/// Money that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The account that gained it.
    pub account: Pubkey,
    /// Base units.
    pub units: u64,
    /// Why.
    pub reason: OpenReason,
    /// The invoice it may belong to.
    pub invoice: Option<InvoiceId>,
}

/// What a transaction did for us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What each deposit account gained, base units; only gains.
    pub gains: BTreeMap<Pubkey, u64>,
    /// What of it is whose.
    pub credits: Vec<Credit>,
    /// What of it waits.
    pub open: Vec<Open>,
}

/// Judges a transaction. `accounts` are all accounts that were ever ours, `tagged` all invoices, in whatever state,
/// whose references are among its keys; others are disregarded.
#[must_use]
pub fn verify(
    transaction: &ChainTransaction,
    accounts: &[DepositAccount],
    tagged: &[TaggedInvoice],
) -> Verdict {
    let mut verdict = Verdict::default();
    if !transaction.succeeded {
        return verdict;
    }
    let tagged: Vec<&TaggedInvoice> = tagged
        .iter()
        .filter(|invoice| transaction.keys.contains(&invoice.reference))
        .collect();
    let intents: Vec<Movement> = transaction
        .instructions
        .iter()
        .flat_map(|i| movements(&i.program, &i.accounts, &i.data))
        .collect();
    for account in accounts {
        match gain(transaction, account) {
            Gain::None => {}
            Gain::Stolen(units) => verdict.open.push(Open {
                account: account.account,
                units,
                reason: OpenReason::OwnerChanged,
                invoice: None,
            }),
            Gain::Net(units) => {
                verdict.gains.insert(account.account, units);
                let named: Vec<&TaggedInvoice> = tagged
                    .iter()
                    .copied()
                    .filter(|t| t.rail == account.rail && t.recipient == account.recipient)
                    .collect();
                attribute(&mut verdict, account, units, &named, &tagged, &intents);
            }
        }
    }
    if !tagged.is_empty() {
        verdict.open.extend(strays(transaction, accounts, &tagged));
    }
    verdict
}

enum Gain {
    None,
    Net(u64),
    Stolen(u64),
}

/// The net effect on one account. A missing balance is zero: the account may be made or closed by the transaction.
fn gain(transaction: &ChainTransaction, account: &DepositAccount) -> Gain {
    let Some(place) = transaction
        .keys
        .iter()
        .position(|key| *key == account.account)
    else {
        return Gain::None;
    };
    let Some((mint, program)) = account.token else {
        let (before, after) = transaction.lamports.get(place).copied().unwrap_or_default();
        // The fee is not part of what was moved; without this, a fee payer's gain would look smaller.
        let after = if place == 0 {
            after.saturating_add(transaction.fee)
        } else {
            after
        };
        return match after.checked_sub(before) {
            Some(net) if net > 0 => Gain::Net(net),
            _ => Gain::None,
        };
    };
    let ours = |row: &&super::TokenBalance| {
        row.account == account.account && row.mint == mint && row.program == program
    };
    let Some(after) = transaction.tokens_after.iter().find(ours) else {
        return Gain::None;
    };
    let before = transaction
        .tokens_before
        .iter()
        .find(ours)
        .map_or(0, |row| row.units);
    match after.units.checked_sub(before) {
        Some(net) if net > 0 && after.owner == account.recipient => Gain::Net(net),
        Some(net) if net > 0 => Gain::Stolen(net),
        _ => Gain::None,
    }
}

/// Decides whose an account's gain is.
fn attribute(
    verdict: &mut Verdict,
    account: &DepositAccount,
    units: u64,
    named: &[&TaggedInvoice],
    tagged: &[&TaggedInvoice],
    intents: &[Movement],
) {
    let waits = |units, reason, invoice| Open {
        account: account.account,
        units,
        reason,
        invoice,
    };
    let credit = |invoice: &TaggedInvoice, units| Credit {
        account: account.account,
        invoice: invoice.id.clone(),
        units,
    };
    let transfers: Vec<&Movement> = intents.iter().filter(|i| pays(i, account)).collect();
    match named {
        [] => {
            let reason = match tagged {
                [] => OpenReason::Untagged,
                _ => OpenReason::OtherRail,
            };
            verdict.open.push(waits(units, reason, only(tagged)));
        }
        // Whatever moved it: a transfer, a swap, a batch. Lamports come for other reasons, too.
        [invoice] if account.token.is_some() || !transfers.is_empty() => {
            verdict.credits.push(credit(invoice, units));
        }
        [invoice] => {
            let invoice = Some(invoice.id.clone());
            verdict
                .open
                .push(waits(units, OpenReason::NoTransfer, invoice));
        }
        several => match shares(several, &transfers) {
            Some(shares)
                if shares
                    .values()
                    .try_fold(0_u64, |sum, share| sum.checked_add(*share))
                    .is_some_and(|sum| sum <= units && sum > 0) =>
            {
                let sum: u64 = shares.values().sum();
                let paid = several
                    .iter()
                    .filter_map(|i| Some(credit(i, *shares.get(&i.reference)?)));
                verdict.credits.extend(paid);
                if sum < units {
                    verdict
                        .open
                        .push(waits(units - sum, OpenReason::Remainder, None));
                }
            }
            _ => verdict.open.push(waits(units, OpenReason::Ambiguous, None)),
        },
    }
}

/// The invoice, if there is no other that it could be.
fn only(tagged: &[&TaggedInvoice]) -> Option<InvoiceId> {
    match tagged {
        [invoice] => Some(invoice.id.clone()),
        _ => None,
    }
}

/// Whether a transfer brings something into this account, in its own kind.
fn pays(intent: &Movement, account: &DepositAccount) -> bool {
    let program = account.token.map_or(SYSTEM_PROGRAM, |(_, program)| program);
    intent.destination == account.account
        && intent.source != account.account
        && intent.units > 0
        && intent.program == program
}

/// What each reference's own transfers say, if each transfer names at most one; `None` when one names several.
fn shares(invoices: &[&TaggedInvoice], transfers: &[&Movement]) -> Option<BTreeMap<Pubkey, u64>> {
    let mut shares = BTreeMap::new();
    for transfer in transfers {
        let mut names = invoices
            .iter()
            .map(|invoice| invoice.reference)
            .filter(|reference| transfer.accounts.contains(reference));
        match (names.next(), names.next()) {
            (Some(reference), None) => {
                let share: &mut u64 = shares.entry(reference).or_default();
                *share = share.checked_add(transfer.units)?;
            }
            (None, _) => {}
            (Some(_), Some(_)) => return None,
        }
    }
    Some(shares)
}

/// Tokens that went to another account of a wallet of ours: the wrong mint, or an account that nobody watches.
fn strays(
    transaction: &ChainTransaction,
    accounts: &[DepositAccount],
    tagged: &[&TaggedInvoice],
) -> Vec<Open> {
    let ours = |key: &Pubkey| accounts.iter().any(|account| account.account == *key);
    let rows = transaction.tokens_after.iter().filter(|row| {
        !ours(&row.account)
            && accounts
                .iter()
                .any(|account| account.recipient == row.owner)
    });
    rows.filter_map(|row| {
        // An account that was somebody else's, or held something else, brings all that is in it.
        let before = transaction.tokens_before.iter().find(|before| {
            (before.account, before.mint, before.owner) == (row.account, row.mint, row.owner)
        });
        let units = row
            .units
            .checked_sub(before.map_or(0, |before| before.units))?;
        (units > 0).then(|| Open {
            account: row.account,
            units,
            reason: OpenReason::OtherAccount,
            invoice: only(tagged),
        })
    })
    .collect()
}
