//! What a transaction pays, and for which invoices. Pure.
//!
//! Credited is the net effect on a deposit account, never what an instruction claims; a reference only says whose
//! money it is. Over all invoices never more is credited than an account gained.

use std::collections::BTreeMap;

use solana_pubkey::Pubkey;
use solana_system_interface::program::ID as SYSTEM_PROGRAM;

use super::change::{Change, change};
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
    /// As much or more left the account in the same transaction: it is not there.
    NettedOut,
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
            Self::NettedOut => "netted_out",
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
    /// The rail that is paid with such units, which says what they are worth; none for what nobody pays with.
    pub rail: Option<Rail>,
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
    /// What left each deposit account, base units, fees included: what an account has after it is what it had, and its
    /// gain, less this.
    pub outflows: BTreeMap<Pubkey, u64>,
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
    let changes: Vec<Change> = accounts
        .iter()
        .map(|account| change(transaction, account))
        .collect();
    for (account, change) in accounts.iter().zip(&changes) {
        if change.outflow > 0 {
            verdict.outflows.insert(account.account, change.outflow);
        }
    }
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
    for (account, change) in accounts.iter().zip(&changes) {
        let waits = |units, reason, invoice| Open {
            account: account.account,
            units,
            reason,
            invoice,
            rail: Some(account.rail),
        };
        if change.stolen > 0 {
            let stolen = waits(change.stolen, OpenReason::OwnerChanged, None);
            verdict.open.push(stolen);
            continue;
        }
        let named: Vec<&TaggedInvoice> = tagged
            .iter()
            .copied()
            .filter(|t| t.rail == account.rail && t.recipient == account.recipient)
            .collect();
        if change.gain > 0 {
            verdict.gains.insert(account.account, change.gain);
            let gain = change.gain;
            attribute(&mut verdict, account, gain, &named, &tagged, &intents);
        }
        let netted = netted_out(account, change.gain, accounts, &intents);
        // An account has one row for operators; what is there goes before what is not.
        if netted > 0 && !verdict.open.iter().any(|o| o.account == account.account) {
            let invoice = only(&named).or_else(|| only(&tagged));
            verdict
                .open
                .push(waits(netted, OpenReason::NettedOut, invoice));
        }
    }
    if !tagged.is_empty() {
        verdict.open.extend(strays(transaction, accounts, &tagged));
    }
    verdict
}

/// What others paid into an account and is not there, because money left it in the same transaction.
fn netted_out(
    account: &DepositAccount,
    gain: u64,
    accounts: &[DepositAccount],
    intents: &[Movement],
) -> u64 {
    let by_us = |i: &&Movement| {
        let mut ours = accounts.iter();
        ours.any(|a| a.account == i.source || a.recipient == i.authority)
    };
    let left = intents
        .iter()
        .any(|i| i.source == account.account && i.destination != i.source && i.units > 0);
    let paid = intents
        .iter()
        .filter(|i| pays(i, account) && !by_us(i))
        .fold(0_u64, |sum, i| sum.saturating_add(i.units));
    // A gain that is smaller than what was paid may only have cost a token's fee.
    if gain > 0 && !left {
        return 0;
    }
    paid.saturating_sub(gain)
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
        rail: Some(account.rail),
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
        let paid_with = |account: &&DepositAccount| account.token == Some((row.mint, row.program));
        (units > 0).then(|| Open {
            account: row.account,
            units,
            reason: OpenReason::OtherAccount,
            invoice: only(tagged),
            rail: accounts.iter().find(paid_with).map(|account| account.rail),
        })
    })
    .collect()
}
