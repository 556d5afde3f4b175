//! What holds for every transaction.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use shared::chain::{ChainTransaction, DepositAccount, OpenReason, TaggedInvoice, Verdict, verify};
use solana_pubkey::Pubkey;

use crate::draft::{Draft, FEE};
use crate::ledger::Ledger;
use crate::plan::{Plan, plan, scene, unrelated};
use crate::random;
use crate::scene::{Scene, memo};

/// A landed transaction of a random plan.
struct Landed {
    before: Scene,
    after: Ledger,
    transaction: ChainTransaction,
    verdict: Verdict,
}

fn land(scene: Scene, draft: &Draft) -> Landed {
    let mut after = scene.ledger.clone();
    let answer = draft.land(&mut after);
    let transaction = ChainTransaction::decode(&answer).unwrap();
    // Every invoice is offered: which of them are meant, the transaction alone decides.
    let verdict = verify(&transaction, &scene.accounts, &scene.invoices);
    assert_eq!(Ok(&verdict), scene.judge(&answer).as_ref());
    Landed {
        before: scene,
        after,
        transaction,
        verdict,
    }
}

impl Landed {
    fn of(plan: &Plan) -> Self {
        let scene = scene();
        let draft = plan.draft(&scene);
        land(scene, &draft)
    }

    /// What an account of ours gained, as the model knows.
    fn gained(&self, account: &DepositAccount, payer: Pubkey) -> u64 {
        let key = &account.account;
        let balance = |ledger: &Ledger| match account.token {
            Some(_) => ledger.units(key),
            None => ledger.lamports[key],
        };
        let fee = if payer == *key { FEE } else { 0 };
        (balance(&self.after) + fee).saturating_sub(balance(&self.before.ledger))
    }

    fn is_ours(&self, account: &DepositAccount) -> bool {
        let owner = self.after.holdings.get(&account.account);
        account.token.is_none() || owner.is_some_and(|row| row.owner == account.recipient)
    }

    /// The invoices that are paid on an account and named.
    fn named(&self, account: &DepositAccount) -> Vec<&TaggedInvoice> {
        let fits = |invoice: &&TaggedInvoice| {
            invoice.rail == account.rail
                && invoice.recipient == account.recipient
                && self.transaction.keys.contains(&invoice.reference)
        };
        self.before.invoices.iter().filter(fits).collect()
    }
}

fn credits_of(verdict: &Verdict) -> BTreeMap<String, u64> {
    let mut credits = BTreeMap::new();
    for credit in &verdict.credits {
        *credits
            .entry(credit.invoice.as_str().to_owned())
            .or_default() += credit.units;
    }
    credits
}

/// The parts of a verdict, in one order.
fn as_set(verdict: &Verdict) -> ([BTreeMap<Pubkey, u64>; 2], Vec<String>, Vec<String>) {
    let mut credits: Vec<String> = verdict.credits.iter().map(|c| format!("{c:?}")).collect();
    let mut open: Vec<String> = verdict.open.iter().map(|o| format!("{o:?}")).collect();
    credits.sort();
    open.sort();
    (
        [verdict.gains.clone(), verdict.outflows.clone()],
        credits,
        open,
    )
}

/// What is ours on an account: what somebody else owns is not.
fn units(account: &DepositAccount, ledger: &Ledger) -> i128 {
    let key = &account.account;
    i128::from(match ledger.holdings.get(key) {
        _ if account.token.is_none() => ledger.lamports[key],
        Some(row) if row.owner == account.recipient => row.units,
        _ => 0,
    })
}

proptest! {
    #![proptest_config(random(1))]

    #[test]
    fn credits_and_what_is_open_are_the_gain(plan in plan()) {
        let landed = Landed::of(&plan);
        let Verdict { gains, credits, open, .. } = &landed.verdict;
        for account in &landed.before.accounts {
            let key = &account.account;
            let gained = landed.gained(account, plan.payer());
            let credited: u64 = credits.iter().filter(|c| c.account == *key).map(|c| c.units).sum();
            let waits: u64 = open
                .iter()
                .filter(|o| o.account == *key && o.reason != OpenReason::NettedOut)
                .map(|o| o.units)
                .sum();
            prop_assert!(credited <= gained);
            prop_assert_eq!(credited + waits, gained);
            // What somebody else owns by now is no gain of ours.
            let ours = if landed.is_ours(account) { gained } else { 0 };
            prop_assert_eq!(gains.get(key).copied().unwrap_or(0), ours);
        }
        let ours = |key| landed.before.accounts.iter().any(|a| a.account == key);
        prop_assert!(credits.iter().all(|c| ours(c.account) && c.units > 0));
        prop_assert!(open.iter().all(|o| o.units > 0));
    }

    #[test]
    fn what_an_account_has_is_what_it_had_and_its_gain_less_what_left_it(plan in plan()) {
        let landed = Landed::of(&plan);
        for account in &landed.before.accounts {
            let key = &account.account;
            let of = |units: &BTreeMap<Pubkey, u64>| i128::from(units.get(key).copied().unwrap_or(0));
            let had = units(account, &landed.before.ledger);
            let has = units(account, &landed.after);
            let verdict = &landed.verdict;
            prop_assert_eq!(has, had + of(&verdict.gains) - of(&verdict.outflows));
        }
    }

    #[test]
    fn only_named_invoices_of_the_account_are_credited(plan in plan()) {
        let landed = Landed::of(&plan);
        for credit in &landed.verdict.credits {
            let account = landed.before.accounts.iter().find(|a| a.account == credit.account);
            let named = landed.named(account.unwrap());
            prop_assert!(named.iter().any(|invoice| invoice.id == credit.invoice));
        }
    }

    #[test]
    fn one_named_invoice_takes_all_tokens(plan in plan()) {
        let landed = Landed::of(&plan);
        for account in landed.before.accounts.iter().filter(|a| a.token.is_some()) {
            let gained = landed.gained(account, plan.payer());
            if let [only] = landed.named(account)[..]
                && gained > 0
                && landed.is_ours(account)
            {
                let credits = landed.verdict.credits.iter();
                let credit = credits.filter(|c| c.account == account.account).collect::<Vec<_>>();
                prop_assert_eq!(credit.len(), 1);
                prop_assert_eq!((&credit[0].invoice, credit[0].units), (&only.id, gained));
            }
        }
    }

    #[test]
    fn what_failed_credits_nothing(plan in plan()) {
        let scene = scene();
        let draft = plan.draft(&scene).failing();
        let fees = scene
            .accounts
            .iter()
            .filter(|account| account.account == plan.payer())
            .map(|account| (account.account, FEE));
        let outflows: BTreeMap<_, _> = fees.collect();
        let expected = Verdict {
            outflows,
            ..Verdict::default()
        };
        prop_assert_eq!(land(scene, &draft).verdict, expected);
    }

    #[test]
    fn order_does_not_matter_and_twice_is_the_same(
        plan in plan(),
        accounts in Just(scene().accounts).prop_shuffle(),
        invoices in Just(scene().invoices).prop_shuffle(),
    ) {
        let landed = Landed::of(&plan);
        let again = verify(&landed.transaction, &landed.before.accounts, &landed.before.invoices);
        prop_assert_eq!(&again, &landed.verdict);
        let shuffled = verify(&landed.transaction, &accounts, &invoices);
        prop_assert_eq!(as_set(&shuffled), as_set(&landed.verdict));
    }

    #[test]
    fn unrelated_instructions_change_nothing(plan in plan(), instruction in unrelated()) {
        let scene = scene();
        let draft = plan.draft(&scene);
        let more = land(scene.clone(), &draft.clone().call(instruction));
        prop_assert_eq!(more.verdict, land(scene, &draft).verdict);
    }

    #[test]
    fn naming_an_invoice_raises_nobody_elses_credit(plan in plan(), place in 0..8_usize) {
        let scene = scene();
        let named = scene.invoices[place].clone();
        let draft = plan.draft(&scene);
        let more = land(scene.clone(), &draft.clone().call(memo(&[named.reference])));
        let before = credits_of(&land(scene, &draft).verdict);
        for (invoice, units) in credits_of(&more.verdict) {
            let had = before.get(&invoice).copied().unwrap_or(0);
            prop_assert!(invoice == named.id.as_str() || units <= had);
        }
    }
}

/// Properties of nothing are worth nothing.
#[test]
fn random_transactions_do_everything() {
    let mut runner = TestRunner::deterministic();
    let (mut reasons, mut credits, mut failed) = (BTreeMap::<_, u32>::new(), [0; 3], 0);
    for _ in 0..2_000 {
        let plan = plan().new_tree(&mut runner).unwrap().current();
        let landed = Landed::of(&plan);
        failed += u32::from(!landed.transaction.succeeded);
        credits[landed.verdict.credits.len().min(2)] += 1;
        for open in &landed.verdict.open {
            *reasons.entry(open.reason.name()).or_default() += 1;
        }
    }
    let expected = [
        "ambiguous",
        "netted_out",
        "no_transfer",
        "other_account",
        "other_rail",
        "owner_changed",
        "remainder",
        "untagged",
    ];
    assert!(reasons.keys().copied().eq(expected), "{reasons:?}");
    assert!(reasons.values().all(|count| *count >= 5), "{reasons:?}");
    assert!(credits.iter().all(|count| *count >= 100), "{credits:?}");
    assert!((50..1_000).contains(&failed), "{failed}");
}
