//! The cases about attribution again, for invoices that each ask for a wallet of their own. An account then pays its own
//! invoice and no other, whatever else is named.
//!
//! Money still needs the reference: which invoice a wallet belongs to is not asked here.

use shared::chain::TaggedInvoice;
use shared::invoices::Rail;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::scene::{A, RAILS, Scene, account_of, credited, key, memo, transfer, waiting};

/// Two invoices and the wallets they ask for.
fn scene(rail: Rail) -> (Scene, [TaggedInvoice; 2]) {
    let mut scene = Scene::new();
    let wallets = [key("first wallet"), key("second wallet")];
    for wallet in wallets {
        scene.add_treasury(wallet);
    }
    let invoices = wallets.map(|wallet| scene.invoice_to(wallet, rail));
    (scene, invoices)
}

/// A transfer to an invoice's own wallet.
fn pay(scene: &Scene, invoice: &TaggedInvoice, marks: &[Pubkey]) -> Instruction {
    transfer(invoice.rail, scene.payer, invoice.recipient, A, marks)
}

fn own(invoice: &TaggedInvoice) -> Pubkey {
    account_of(invoice.recipient, invoice.rail)
}

#[test]
fn case_01_a_second_reference_takes_nothing_from_the_first() {
    for rail in RAILS {
        let (mut scene, [one, two]) = scene(rail);
        let pay = pay(&scene, &one, &[two.reference, one.reference]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(credited(&verdict, &two), 0);
        assert_eq!(verdict.open, []);
    }
}

#[test]
fn case_02_two_transfers_pay_their_own() {
    for rail in RAILS {
        let (mut scene, [one, two]) = scene(rail);
        // Even marked the wrong way round: where it went says more.
        let draft = scene
            .draft()
            .call(pay(&scene, &one, &[two.reference]))
            .call(pay(&scene, &two, &[one.reference]))
            .call(pay(&scene, &two, &[]));
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(credited(&verdict, &two), 2 * A);
        assert_eq!(verdict.open, []);
    }
}

#[test]
fn case_04_references_in_a_memo_are_enough() {
    for rail in RAILS {
        let (mut scene, [one, two]) = scene(rail);
        let draft = scene.draft().call(pay(&scene, &one, &[]));
        let verdict = scene.land(&draft.call(memo(&[one.reference, two.reference])));
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(credited(&verdict, &two), 0);
    }
}

#[test]
fn case_07_the_reference_of_another_wallet_is_not_this_ones() {
    for rail in RAILS {
        let (mut scene, [one, two]) = scene(rail);
        let pay = pay(&scene, &one, &[two.reference]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(verdict.credits, [], "{rail:?}");
        assert_eq!(waiting(&verdict), [(own(&one), A, "other_rail")]);
        assert_eq!(verdict.open[0].invoice, Some(two.id));
    }
}

#[test]
fn case_09_without_a_known_reference_it_waits() {
    for rail in RAILS {
        let (mut scene, [one, _]) = scene(rail);
        let pay = pay(&scene, &one, &[key("never issued"), key("beacon")]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(verdict.credits, [], "{rail:?}");
        assert_eq!(waiting(&verdict), [(own(&one), A, "untagged")]);
    }
}

#[test]
fn case_11_the_former_treasury_still_takes_payments_of_old_invoices() {
    for rail in RAILS {
        let (mut scene, [old, _]) = scene(rail);
        let new = scene.invoice(rail);
        let draft = scene
            .draft()
            .call(pay(&scene, &old, &[old.reference]))
            .call(scene.pay(rail, 9, &[new.reference]));
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &old), A, "{rail:?}");
        assert_eq!(credited(&verdict, &new), 9);
        assert_eq!(verdict.gains.len(), 2);
    }
}
