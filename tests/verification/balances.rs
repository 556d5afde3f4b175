//! Rows of balances that mislead.

use std::collections::BTreeMap;

use shared::chain::Verdict;
use shared::invoices::Rail;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_interface::instruction as token;

use crate::draft::{Draft, FEE};
use crate::ledger::{ACCOUNT_RENT, TOKEN};
use crate::scene::{
    A, RAILS, SAVED, Scene, account_of, credited, key, marked, memo, mint, token_transfer,
    transfer, waiting,
};

const SOL: Rail = Rail::SolNative;
const USDC: Rail = Rail::SolSplUsdc;
const USDT: Rail = Rail::SolSplUsdt;

fn create_ours(scene: &Scene, rail: Rail) -> Instruction {
    let (mint, program) = mint(rail).unwrap();
    create_associated_token_account_idempotent(&scene.payer, &scene.treasury, &mint, &program)
}

/// Empties our account into another wallet and closes it.
fn close_ours(scene: &Scene, refund: Pubkey) -> [Instruction; 2] {
    let ours = scene.ours(USDC);
    let units = scene.ledger.units(&ours);
    let owner = scene.treasury;
    let empty = transfer(USDC, owner, scene.payer, units, &[]);
    let close = token::close_account(&TOKEN, &ours, &refund, &owner, &[]);
    [empty, close.unwrap()]
}

#[test]
fn case_23_an_account_made_in_the_same_transaction_had_nothing() {
    for rail in [USDC, USDT] {
        let mut scene = Scene::new();
        scene.ledger.holdings.remove(&scene.ours(rail));
        scene.ledger.lamports.remove(&scene.ours(rail));
        let invoice = scene.invoice(rail);
        let draft = scene
            .draft()
            .call(create_ours(&scene, rail))
            .call(scene.pay(rail, A, &[invoice.reference]));
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &invoice), A, "{rail:?}");
        assert_eq!(verdict.open, []);
    }
}

#[test]
fn case_24_an_account_closed_and_made_again_gains_the_difference() {
    for paid in [SAVED + A, SAVED, A] {
        let mut scene = Scene::new();
        let invoice = scene.invoice(USDC);
        let [empty, close] = close_ours(&scene, scene.payer);
        let draft = scene.draft().call(empty).call(close);
        let draft = draft.call(create_ours(&scene, USDC));
        let draft = draft.call(scene.pay(USDC, paid, &[invoice.reference]));
        let verdict = scene.land(&draft);
        let gained = paid.saturating_sub(SAVED);
        assert_eq!(credited(&verdict, &invoice), gained);
        // The other part of the payment was taken out meanwhile.
        let netted = (scene.ours(USDC), paid - gained, "netted_out");
        assert_eq!(waiting(&verdict), [netted]);
    }
}

#[test]
fn case_25_money_that_leaves_again_was_not_paid() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let pay = scene.pay(USDC, A, &[invoice.reference]);
    let back = transfer(USDC, scene.treasury, scene.payer, A - 2, &[]);
    let verdict = scene.land(&scene.draft().call(pay.clone()).call(back));
    assert_eq!(credited(&verdict, &invoice), 2);
    let ours = scene.ours(USDC);
    assert_eq!(waiting(&verdict), [(ours, A - 2, "netted_out")]);

    // Nor is what is in an account that is closed in the end.
    let mut draft = scene.draft().call(pay.clone());
    let mut after = scene.clone();
    after.land(&scene.draft().call(pay));
    for instruction in close_ours(&after, scene.payer) {
        draft = draft.call(instruction);
    }
    let verdict = scene.land(&draft);
    assert_eq!(
        (&verdict.gains, &verdict.credits),
        (&BTreeMap::new(), &vec![])
    );
    assert_eq!(waiting(&verdict), [(ours, A, "netted_out")]);
    assert_eq!(verdict.outflows, BTreeMap::from([(ours, SAVED + 2)]));
}

/// Nothing but what left the treasury.
fn only_out(scene: &Scene, lamports: u64) -> Verdict {
    Verdict {
        outflows: BTreeMap::from([(scene.treasury, lamports)]),
        ..Verdict::default()
    }
}

#[test]
fn case_26_the_treasury_cannot_pay_itself() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        let round = transfer(
            rail,
            scene.treasury,
            scene.treasury,
            A,
            &[invoice.reference],
        );
        let verdict = scene.land(&Draft::new(scene.payer).call(round.clone()));
        assert_eq!(verdict, Verdict::default(), "{rail:?}");
        let verdict = scene.land(&Draft::new(scene.treasury).call(round));
        assert_eq!(verdict, only_out(&scene, FEE), "{rail:?}");
    }
}

#[test]
fn case_27_the_fee_does_not_make_a_gain() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(SOL);
    let round = transfer(SOL, scene.treasury, scene.treasury, A, &[invoice.reference]);
    let verdict = scene.land(&Draft::new(scene.treasury).call(round));
    assert_eq!(verdict, only_out(&scene, FEE));

    let out = transfer(SOL, scene.treasury, scene.payer, 1, &[invoice.reference]);
    let verdict = scene.land(&Draft::new(scene.treasury).call(out));
    assert_eq!(verdict, only_out(&scene, FEE + 1));
}

#[test]
fn case_28_a_treasury_that_pays_the_fee_gains_what_was_sent() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(SOL);
    let pay = scene.pay(SOL, A, &[invoice.reference]);
    let verdict = scene.land(&Draft::new(scene.treasury).call(pay));
    assert_eq!(credited(&verdict, &invoice), A);
    assert_eq!(verdict.gains[&scene.treasury], A);
}

#[test]
fn case_29_an_account_that_is_not_ours_any_more_credits_nobody() {
    let ours = Scene::new().ours(USDC);
    let give_away = |scene: &Scene| {
        token::set_authority(
            &TOKEN,
            &ours,
            Some(&key("thief")),
            token::AuthorityType::AccountOwner,
            &scene.treasury,
            &[],
        )
        .unwrap()
    };
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let pay = scene.pay(USDC, A, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(pay.clone()).call(give_away(&scene)));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(ours, A, "owner_changed")]);

    // It stays so.
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(ours, A, "owner_changed")]);
    assert!(verdict.gains.is_empty());
}

#[test]
fn case_30_another_account_of_the_treasury_is_only_reported() {
    let mut scene = Scene::new();
    let auxiliary = key("auxiliary");
    scene
        .ledger
        .open(auxiliary, key("USDC"), scene.treasury, 11);
    let (invoice, other) = (scene.invoice(USDC), scene.invoice(USDC));
    let source = account_of(scene.payer, USDC);
    let pay = token_transfer(TOKEN, source, key("USDC"), auxiliary, scene.payer, A);
    let tagged = marked(pay.clone(), &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(tagged));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(auxiliary, A, "other_account")]);
    assert_eq!(verdict.open[0].invoice, Some(invoice.id.clone()));

    // With two references it is anybody's.
    let tagged = marked(pay.clone(), &[invoice.reference, other.reference]);
    let verdict = scene.land(&scene.draft().call(tagged));
    assert_eq!(verdict.open[0].invoice, None);

    // What nobody asked for and nothing marks is not worth a report: anybody can send anything.
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(verdict, Verdict::default());
}

#[test]
fn case_30_an_account_handed_to_the_treasury_is_reported_with_what_is_in_it() {
    let mut scene = Scene::new();
    let handed = key("handed over");
    scene.ledger.open(handed, key("USDC"), scene.payer, A);
    let invoice = scene.invoice(USDC);
    let hand_over = token::set_authority(
        &TOKEN,
        &handed,
        Some(&scene.treasury),
        token::AuthorityType::AccountOwner,
        &scene.payer,
        &[],
    );
    let draft = scene.draft().call(hand_over.unwrap());
    let verdict = scene.land(&draft.call(memo(&[invoice.reference])));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(handed, A, "other_account")]);
}

/// Closes an account of the payer; its rent goes to the treasury.
fn refund(scene: &mut Scene) -> Instruction {
    let account = key("to be closed");
    scene.ledger.open(account, key("USDC"), scene.payer, 0);
    token::close_account(&TOKEN, &account, &scene.treasury, &scene.payer, &[]).unwrap()
}

#[test]
fn case_31_lamports_that_no_transfer_brings_wait() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(SOL);
    let refund = refund(&mut scene);
    let marked = marked(refund, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(marked));
    assert_eq!(verdict.credits, []);
    let waits = [(scene.treasury, ACCOUNT_RENT, "no_transfer")];
    assert_eq!(waiting(&verdict), waits);
    assert_eq!(verdict.open[0].invoice, Some(invoice.id));
}

/// An instruction with a mark.
type Beside<'a> = &'a dyn Fn(&Scene, Pubkey) -> Instruction;

#[test]
fn case_31_transfers_that_bring_nothing_do_not_make_rent_a_payment() {
    let empty = |scene: &Scene, mark| scene.pay(SOL, 0, &[mark]);
    let round = |scene: &Scene, mark| transfer(SOL, scene.treasury, scene.treasury, 9, &[mark]);
    let elsewhere = |scene: &Scene, mark| transfer(SOL, scene.payer, key("other"), 9, &[mark]);
    let tokens = |scene: &Scene, mark| scene.pay(USDC, 9, &[mark]);
    let created = |scene: &Scene, mark| {
        let new = system::create_account(&scene.payer, &scene.treasury, 9, 0, &TOKEN);
        marked(new, &[mark])
    };
    let all: [(Beside<'_>, u64); 5] = [
        (&empty, 0),
        (&round, 0),
        (&elsewhere, 0),
        (&tokens, 0),
        (&created, 9),
    ];
    for (place, (beside, more)) in all.into_iter().enumerate() {
        let mut scene = Scene::new();
        let invoice = scene.invoice(SOL);
        let refund = refund(&mut scene);
        let beside = beside(&scene, invoice.reference);
        let verdict = scene.land(&scene.draft().call(refund).call(beside));
        assert_eq!(credited(&verdict, &invoice), 0, "{place}");
        let waits = (scene.treasury, ACCOUNT_RENT + more, "no_transfer");
        assert!(waiting(&verdict).contains(&waits), "{place}");
    }
}

#[test]
fn case_31_a_payment_beside_a_refund_is_a_payment() {
    let mut scene = Scene::new();
    let (invoice, other) = (scene.invoice(SOL), scene.invoice(SOL));
    let refund = refund(&mut scene);
    let pay = scene.pay(SOL, A, &[invoice.reference]);
    let draft = scene.draft().call(refund).call(pay);
    let verdict = scene.clone().land(&draft);
    assert_eq!(credited(&verdict, &invoice), A + ACCOUNT_RENT);

    // When amounts matter, the refund is nobody's.
    let verdict = scene.land(&draft.call(scene.pay(SOL, 5, &[other.reference])));
    assert_eq!(credited(&verdict, &invoice), A);
    assert_eq!(credited(&verdict, &other), 5);
    assert_eq!(
        waiting(&verdict),
        [(scene.treasury, ACCOUNT_RENT, "remainder")]
    );
}
