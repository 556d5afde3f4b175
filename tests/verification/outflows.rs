//! What leaves an account of ours, and what others paid into it meanwhile.

use std::collections::BTreeMap;

use shared::chain::{OpenReason, Verdict};
use shared::invoices::Rail;
use solana_pubkey::Pubkey;
use spl_token_2022_interface::instruction as token;

use crate::draft::{Draft, FEE};
use crate::ledger::TOKEN;
use crate::scene::{A, RAILS, SAVED, Scene, credited, key, transfer, waiting};

const SOL: Rail = Rail::SolNative;
const USDC: Rail = Rail::SolSplUsdc;

fn only(account: Pubkey, units: u64) -> BTreeMap<Pubkey, u64> {
    BTreeMap::from([(account, units)])
}

#[test]
fn what_the_treasury_sends_is_an_outflow_and_so_is_its_fee() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let out = transfer(rail, scene.treasury, scene.payer, A, &[]);
        let verdict = scene.land(&Draft::new(scene.treasury).call(out));
        let mut expected = only(scene.treasury, FEE);
        *expected.entry(scene.ours(rail)).or_default() += A;
        assert_eq!(verdict.outflows, expected, "{rail:?}");
        assert_eq!(verdict.gains, BTreeMap::new());
        assert_eq!(verdict.open, []);
    }
}

#[test]
fn a_failed_transaction_costs_its_fee_and_nothing_else() {
    let mut scene = Scene::new();
    let out = transfer(SOL, scene.treasury, scene.payer, A, &[]);
    let verdict = scene.land(&Draft::new(scene.treasury).call(out).failing());
    let expected = Verdict {
        outflows: only(scene.treasury, FEE),
        ..Verdict::default()
    };
    assert_eq!(verdict, expected);
    // Somebody else's fee is none of ours.
    let pay = scene.pay(SOL, A, &[]);
    let verdict = scene.land(&scene.draft().call(pay).failing());
    assert_eq!(verdict, Verdict::default());
}

/// A gain is what came, though the treasury paid the fee, which is recorded beside it.
#[test]
fn the_fee_of_a_gain_is_an_outflow() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(SOL);
    let pay = transfer(SOL, scene.payer, scene.treasury, A, &[invoice.reference]);
    let verdict = scene.land(&Draft::new(scene.treasury).call(pay));
    assert_eq!(credited(&verdict, &invoice), A);
    assert_eq!(verdict.outflows, only(scene.treasury, FEE));
}

#[test]
fn a_token_account_that_is_closed_or_given_away_takes_out_what_it_held() {
    let mut scene = Scene::new();
    let account = scene.ours(USDC);
    let kind = token::AuthorityType::AccountOwner;
    let thief = key("thief");
    let give = token::set_authority(&TOKEN, &account, Some(&thief), kind, &scene.treasury, &[]);
    let verdict = scene.land(&Draft::new(scene.payer).call(give.unwrap()));
    assert_eq!(verdict.outflows, only(account, SAVED));

    let mut scene = Scene::new();
    let account = scene.ours(USDC);
    let treasury = scene.treasury;
    let empty = transfer(USDC, treasury, scene.payer, SAVED, &[]);
    let close = token::close_account(&TOKEN, &account, &scene.payer, &treasury, &[]);
    let draft = Draft::new(scene.payer).call(empty).call(close.unwrap());
    let verdict = scene.land(&draft);
    assert_eq!(verdict.outflows, only(account, SAVED));
    assert_eq!(verdict.open, []);
}

/// D holds 50; the treasury takes 50 out in the transaction in which a customer pays A tagged R.
#[test]
fn a_payment_in_a_transaction_that_takes_as_much_or_more_out_is_listed() {
    for rail in RAILS {
        for taken in [A, A + 1, 10 * A] {
            let mut scene = Scene::new();
            let invoice = scene.invoice(rail);
            let pay = scene.pay(rail, A, &[invoice.reference]);
            let take = transfer(rail, scene.treasury, key("vault"), taken, &[]);
            scene.add_wallet(key("vault"), 1);
            let verdict = scene.land(&scene.draft().call(pay).call(take));
            assert_eq!(verdict.credits, [], "{rail:?} {taken}");
            let account = scene.ours(rail);
            assert_eq!(waiting(&verdict), [(account, A, "netted_out")]);
            assert_eq!(verdict.open[0].invoice, Some(invoice.id.clone()));
            let left = verdict.outflows.get(&account).copied().unwrap_or(0);
            assert_eq!(left, taken - A);
        }
    }
}

/// What is there is credited; what was taken out of it meanwhile is listed.
#[test]
fn a_payment_in_a_transaction_that_takes_less_out_is_credited_with_the_rest() {
    for rail in RAILS {
        let mut scene = Scene::new();
        scene.add_wallet(key("vault"), 1);
        let invoice = scene.invoice(rail);
        let pay = scene.pay(rail, A, &[invoice.reference]);
        let take = transfer(rail, scene.treasury, key("vault"), A - 7, &[]);
        let verdict = scene.land(&scene.draft().call(pay).call(take));
        assert_eq!(credited(&verdict, &invoice), 7, "{rail:?}");
        let account = scene.ours(rail);
        assert_eq!(waiting(&verdict), [(account, A - 7, "netted_out")]);
        assert_eq!(verdict.outflows, BTreeMap::new());
    }
}

/// Our own money that goes round is nobody's payment.
#[test]
fn what_the_treasury_pays_itself_is_not_netted_out() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let former = key("former treasury");
        scene.add_treasury(former);
        let there = transfer(rail, scene.treasury, former, A, &[]);
        let back = transfer(rail, former, scene.treasury, A, &[]);
        let verdict = scene.land(&scene.draft().call(there).call(back));
        assert_eq!(verdict.open, [], "{rail:?}");
    }
}

#[test]
fn strays_say_which_rail_is_paid_with_them() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let handed = key("handed over");
    scene.ledger.open(handed, key("USDC"), scene.payer, A);
    let kind = token::AuthorityType::AccountOwner;
    let treasury = scene.treasury;
    let hand = token::set_authority(&TOKEN, &handed, Some(&treasury), kind, &scene.payer, &[]);
    let memo = crate::scene::memo(&[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(hand.unwrap()).call(memo));
    let rails: Vec<_> = verdict.open.iter().map(|o| (o.reason, o.rail)).collect();
    assert_eq!(rails, [(OpenReason::OtherAccount, Some(USDC))]);
}
