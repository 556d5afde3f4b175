//! Whose money it is, and that none of it is counted twice.

use shared::chain::Verdict;
use shared::invoices::Rail;

use crate::scene::{A, RAILS, Scene, credited, key, memo, waiting};

#[test]
fn case_01_one_transfer_with_two_references_credits_nobody() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let pay = scene.pay(rail, A, &[one.reference, two.reference]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(verdict.credits, [], "{rail:?}");
        assert_eq!(waiting(&verdict), [(scene.ours(rail), A, "ambiguous")]);
        assert_eq!(verdict.open[0].invoice, None);
    }
}

#[test]
fn case_02_two_transfers_with_a_reference_each_are_told_apart() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let draft = scene
            .draft()
            .call(scene.pay(rail, A, &[one.reference]))
            .call(scene.pay(rail, A + 3, &[two.reference]));
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(credited(&verdict, &two), A + 3);
        assert_eq!(verdict.gains[&scene.ours(rail)], 2 * A + 3);
        assert_eq!(verdict.open, []);
    }
}

#[test]
fn case_03_what_no_reference_claims_is_left_over() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let draft = scene
            .draft()
            .call(scene.pay(rail, A, &[one.reference]))
            .call(scene.pay(rail, 77, &[]))
            .call(memo(&[two.reference]));
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(credited(&verdict, &two), 0);
        assert_eq!(waiting(&verdict), [(scene.ours(rail), 77, "remainder")]);
    }
}

#[test]
fn case_04_a_lone_reference_counts_wherever_it_is_and_two_do_not() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let pay = scene.pay(rail, A, &[]);
        let draft = scene.draft().call(pay.clone());
        let verdict = scene.land(&draft.clone().call(memo(&[one.reference])));
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(verdict.open, []);

        let verdict = scene.land(&draft.call(memo(&[one.reference, two.reference])));
        assert_eq!(verdict.credits, []);
        assert_eq!(waiting(&verdict), [(scene.ours(rail), A, "ambiguous")]);
    }
}

#[test]
fn case_05_one_ambiguous_transfer_makes_all_of_them_ambiguous() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let draft = scene
            .draft()
            .call(scene.pay(rail, A, &[one.reference]))
            .call(scene.pay(rail, A, &[one.reference, two.reference]));
        let verdict = scene.land(&draft);
        assert_eq!(verdict.credits, [], "{rail:?}");
        assert_eq!(waiting(&verdict), [(scene.ours(rail), 2 * A, "ambiguous")]);
    }
}

#[test]
fn case_05_a_reference_named_twice_is_one_reference() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let draft = scene
            .draft()
            .call(scene.pay(rail, A, &[one.reference, one.reference]))
            .call(scene.pay(rail, 1, &[one.reference]))
            .call(scene.pay(rail, 2, &[two.reference]));
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &one), A + 1, "{rail:?}");
        assert_eq!(credited(&verdict, &two), 2);
        assert_eq!(verdict.credits.len(), 2);
    }
}

#[test]
fn case_05_a_reference_may_sign_or_be_writable() {
    for rail in RAILS {
        for (is_signer, is_writable) in [(true, false), (false, true), (true, true)] {
            let mut scene = Scene::new();
            let invoice = scene.invoice(rail);
            let mut pay = scene.pay(rail, A, &[invoice.reference]);
            let mark = pay.accounts.last_mut().unwrap();
            (mark.is_signer, mark.is_writable) = (is_signer, is_writable);
            let verdict = scene.land(&scene.draft().call(pay));
            assert_eq!(credited(&verdict, &invoice), A, "{rail:?}");
        }
    }
}

#[test]
fn case_07_references_of_two_rails_each_count_on_their_own() {
    let mut scene = Scene::new();
    let (sol, usdc) = (
        scene.invoice(Rail::SolNative),
        scene.invoice(Rail::SolSplUsdc),
    );
    let marks = [sol.reference, usdc.reference];
    let pay = scene.pay(Rail::SolSplUsdc, A, &marks);
    let verdict = scene.land(&scene.draft().call(pay.clone()));
    assert_eq!(credited(&verdict, &usdc), A);
    assert_eq!(credited(&verdict, &sol), 0);
    assert_eq!(verdict.open, []);

    let both = scene.pay(Rail::SolNative, 9, &marks);
    let verdict = scene.land(&scene.draft().call(pay).call(both));
    assert_eq!(credited(&verdict, &usdc), A);
    assert_eq!(credited(&verdict, &sol), 9);
}

#[test]
fn case_07_money_of_another_rail_is_not_credited() {
    for paid in RAILS {
        for asked in RAILS.into_iter().filter(|asked| *asked != paid) {
            let mut scene = Scene::new();
            let invoice = scene.invoice(asked);
            let pay = scene.pay(paid, A, &[invoice.reference]);
            let verdict = scene.land(&scene.draft().call(pay));
            assert_eq!(verdict.credits, [], "{paid:?} for {asked:?}");
            assert_eq!(waiting(&verdict), [(scene.ours(paid), A, "other_rail")]);
            assert_eq!(verdict.open[0].invoice, Some(invoice.id));
        }
    }
}

#[test]
fn case_09_a_reference_that_was_never_issued_is_no_reference() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let never = key("never issued");
        let pay = scene.pay(rail, A, &[never]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(verdict.credits, [], "{rail:?}");
        assert_eq!(waiting(&verdict), [(scene.ours(rail), A, "untagged")]);

        // Nor does it make a real one ambiguous. That its invoice may have expired is decided later.
        let invoice = scene.invoice(rail);
        let pay = scene.pay(rail, A, &[never, invoice.reference]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(credited(&verdict, &invoice), A);
        assert_eq!(verdict.open, []);
    }
}

#[test]
fn case_10_the_beacon_alone_touches_no_invoice() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (invoice, beacon) = (scene.invoice(rail), key("beacon"));
        let pay = scene.pay(rail, A, &[beacon]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(verdict.credits, [], "{rail:?}");
        assert_eq!(waiting(&verdict), [(scene.ours(rail), A, "untagged")]);

        let pay = scene.pay(rail, A, &[invoice.reference, beacon]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(credited(&verdict, &invoice), A);
    }
}

#[test]
fn case_11_a_reference_without_money_is_nothing() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        let verdict = scene.land(&scene.draft().call(memo(&[invoice.reference])));
        assert_eq!(verdict, Verdict::default(), "{rail:?}");

        // Nor is money for somebody else.
        let other = key("somebody else");
        scene.add_wallet(other, 0);
        let elsewhere = crate::scene::transfer(rail, scene.payer, other, A, &[invoice.reference]);
        let verdict = scene.land(&scene.draft().call(elsewhere));
        assert_eq!(verdict, Verdict::default());
    }
}

#[test]
fn case_11_references_that_are_other_keys_too_credit_no_more_than_arrived() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        // Nobody issues such references; if somebody did, money would still be counted once.
        for odd in [scene.ours(rail), scene.payer, crate::ledger::TOKEN] {
            let mut scene = scene.clone();
            let mut same = invoice.clone();
            (same.id, same.reference) = (shared::ids::InvoiceId::generate(), odd);
            scene.invoices.push(same.clone());
            let pay = scene.pay(rail, A, &[invoice.reference]);
            let verdict = scene.land(&scene.draft().call(pay));
            let sum = credited(&verdict, &invoice) + credited(&verdict, &same);
            let open: u64 = verdict.open.iter().map(|open| open.units).sum();
            assert_eq!(sum + open, A, "{rail:?} {odd}");
        }
    }
}
