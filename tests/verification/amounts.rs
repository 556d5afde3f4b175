//! How much it is, and of what.

use shared::chain::Verdict;
use shared::invoices::Rail;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_token_2022_interface::extension::transfer_fee::instruction::transfer_checked_with_fee;

use crate::draft::bent;
use crate::ledger::{Mint, TOKEN, TOKEN_2022};
use crate::scene::{
    A, RAILS, Scene, account_of, credited, key, marked, mint, token_transfer, transfer, waiting,
};

const USDC: Rail = Rail::SolSplUsdc;
const USDT: Rail = Rail::SolSplUsdt;

/// The first whole number that a float cannot hold.
const BEYOND_FLOATS: u64 = 9_007_199_254_740_993;

#[test]
fn case_12_every_payment_counts_as_what_it_is() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        for units in [A - 1, 1, 1] {
            let pay = scene.pay(rail, units, &[invoice.reference]);
            let verdict = scene.land(&scene.draft().call(pay));
            assert_eq!(credited(&verdict, &invoice), units, "{rail:?}");
        }
    }
}

#[test]
fn case_13_amounts_beyond_floats_are_exact() {
    for rail in RAILS {
        for units in [BEYOND_FLOATS, BEYOND_FLOATS + 1] {
            let mut scene = Scene::new();
            let invoice = scene.invoice(rail);
            let pay = scene.pay(rail, units, &[invoice.reference]);
            let verdict = scene.land(&scene.draft().call(pay));
            assert_eq!(credited(&verdict, &invoice), units, "{rail:?}");
            assert_eq!(verdict.gains[&scene.ours(rail)], units);
        }
    }
}

/// Another token, and the treasury's account of it.
fn add_other_mint(scene: &mut Scene, name: &str, program: Pubkey) -> (Pubkey, Pubkey) {
    let mint = key(name);
    let facts = Mint {
        program,
        decimals: 6,
        fee_basis_points: 0,
        shown_percent: 100,
    };
    scene.ledger.mints.insert(mint, facts);
    let account = |wallet| get_associated_token_address_with_program_id(&wallet, &mint, &program);
    let (source, destination) = (account(scene.payer), account(scene.treasury));
    scene.ledger.open(source, mint, scene.payer, 10 * A);
    scene.ledger.open(destination, mint, scene.treasury, A);
    (source, destination)
}

#[test]
fn case_14_another_token_of_the_same_name_is_not_credited() {
    let mut scene = Scene::new();
    let (source, destination) = add_other_mint(&mut scene, "USDC of somebody else", TOKEN);
    let invoice = scene.invoice(USDC);
    let mint = key("USDC of somebody else");
    let pay = token_transfer(TOKEN, source, mint, destination, scene.payer, A);
    let pay = marked(pay, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(pay.clone()));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(destination, A, "other_account")]);
    assert_eq!(verdict.open[0].invoice, Some(invoice.id.clone()));

    // Next to a real payment it does not count either.
    let real = scene.pay(USDC, 7, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(pay).call(real));
    assert_eq!(credited(&verdict, &invoice), 7);
    assert_eq!(waiting(&verdict), [(destination, A, "other_account")]);
}

#[test]
fn case_15_the_other_token_program_is_another_token() {
    let mut scene = Scene::new();
    let (source, destination) = add_other_mint(&mut scene, "USDC, newer", TOKEN_2022);
    let invoice = scene.invoice(USDC);
    let mint = key("USDC, newer");
    let pay = token_transfer(TOKEN_2022, source, mint, destination, scene.payer, A);
    let pay = marked(pay, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(destination, A, "other_account")]);
}

#[test]
fn case_15_rows_of_our_account_count_only_with_its_mint_and_program() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let pay = scene.pay(USDC, A, &[invoice.reference]);
    let answer = scene.draft().call(pay).land(&mut scene.ledger);
    let changes = [
        ("programId", TOKEN_2022.to_string()),
        ("mint", key("other").to_string()),
    ];
    for (field, value) in changes {
        let answer = bent(&answer, |json| {
            for side in ["preTokenBalances", "postTokenBalances"] {
                for row in json["meta"][side].as_array_mut().unwrap() {
                    row[field] = value.clone().into();
                }
            }
        });
        let verdict = scene.judge(&answer.unwrap()).unwrap();
        assert_eq!(verdict.credits, [], "{field}");
    }
}

#[test]
fn case_16_wrapped_sol_does_not_pay_a_sol_invoice() {
    let mut scene = Scene::new();
    let wrapped = "So11111111111111111111111111111111111111112";
    let (source, destination) = add_other_mint(&mut scene, wrapped, TOKEN);
    let invoice = scene.invoice(Rail::SolNative);
    let pay = token_transfer(TOKEN, source, key(wrapped), destination, scene.payer, A);
    let pay = marked(pay, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(destination, A, "other_account")]);
}

#[test]
fn case_17_what_the_token_program_keeps_is_not_credited() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDT);
    let (mint, _) = mint(USDT).unwrap();
    scene.ledger.mints.get_mut(&mint).unwrap().fee_basis_points = 100;
    let pay = scene.pay(USDT, A, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(credited(&verdict, &invoice), A - A / 100);

    let grossed_up = scene.pay(USDT, 5_050_506, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(grossed_up));
    assert_eq!(credited(&verdict, &invoice), A);

    // Two claims that are more than arrived together are not told apart.
    let other = scene.invoice(USDT);
    let draft = scene
        .draft()
        .call(scene.pay(USDT, A, &[invoice.reference]))
        .call(scene.pay(USDT, A, &[other.reference]));
    let verdict = scene.land(&draft);
    assert_eq!(verdict.credits, []);
    let arrived = 2 * (A - A / 100);
    assert_eq!(
        waiting(&verdict),
        [(scene.ours(USDT), arrived, "ambiguous")]
    );
}

#[test]
fn case_18_what_is_shown_is_not_what_is_credited() {
    for percent in [50, 200] {
        let mut scene = Scene::new();
        let invoice = scene.invoice(USDT);
        let (mint, _) = mint(USDT).unwrap();
        scene.ledger.mints.get_mut(&mint).unwrap().shown_percent = percent;
        let pay = scene.pay(USDT, A, &[invoice.reference]);
        let verdict = scene.land(&scene.draft().call(pay));
        assert_eq!(credited(&verdict, &invoice), A, "{percent} %");
    }
}

/// A transfer that does not name its mint.
fn unchecked(scene: &Scene, units: u64, marks: &[Pubkey]) -> Instruction {
    let source = account_of(scene.payer, USDC);
    let instruction = spl_token_interface::instruction::transfer(
        &TOKEN,
        &source,
        &scene.ours(USDC),
        &scene.payer,
        &[],
        units,
    );
    marked(instruction.unwrap(), marks)
}

#[test]
fn case_19_an_unchecked_transfer_pays() {
    let mut scene = Scene::new();
    let (one, two) = (scene.invoice(USDC), scene.invoice(USDC));
    let pay = unchecked(&scene, A, &[one.reference]);
    let verdict = scene.land(&scene.draft().call(pay.clone()));
    assert_eq!(credited(&verdict, &one), A);

    let draft = scene.draft().call(pay);
    let verdict = scene.land(&draft.call(unchecked(&scene, 3, &[two.reference])));
    assert_eq!((credited(&verdict, &one), credited(&verdict, &two)), (A, 3));
}

fn with_fee(scene: &Scene, units: u64, marks: &[Pubkey]) -> Instruction {
    let (mint, program) = mint(USDT).unwrap();
    let instruction = transfer_checked_with_fee(
        &program,
        &account_of(scene.payer, USDT),
        &mint,
        &scene.ours(USDT),
        &scene.payer,
        &[],
        units,
        6,
        scene.ledger.transfer_fee(&mint, units),
    );
    marked(instruction.unwrap(), marks)
}

#[test]
fn case_20_a_transfer_with_a_stated_fee_credits_what_arrives() {
    let mut scene = Scene::new();
    let (one, two) = (scene.invoice(USDT), scene.invoice(USDT));
    let (mint, _) = mint(USDT).unwrap();
    scene.ledger.mints.get_mut(&mint).unwrap().fee_basis_points = 100;
    let pay = with_fee(&scene, A, &[one.reference]);
    let verdict = scene.land(&scene.draft().call(pay.clone()));
    assert_eq!(credited(&verdict, &one), A - A / 100);

    let draft = scene.draft().call(pay);
    let verdict = scene.land(&draft.call(with_fee(&scene, 2 * A, &[two.reference])));
    assert_eq!(credited(&verdict, &one), A - A / 100);
    assert_eq!(credited(&verdict, &two), 2 * (A - A / 100));
    assert_eq!(verdict.open, []);
}

/// Transfers of the token program in one instruction.
fn batch(transfers: &[Instruction]) -> Instruction {
    spl_token_interface::instruction::batch(&TOKEN, transfers).unwrap()
}

#[test]
fn case_20_a_batch_is_its_transfers() {
    let mut scene = Scene::new();
    let (one, two) = (scene.invoice(USDC), scene.invoice(USDC));
    let tagged_one = scene.pay(USDC, A, &[one.reference]);
    let tagged_two = unchecked(&scene, A + 1, &[two.reference]);

    let verdict = scene.land(&scene.draft().call(batch(std::slice::from_ref(&tagged_one))));
    assert_eq!(credited(&verdict, &one), A);

    let verdict = scene.land(&scene.draft().call(batch(&[tagged_one.clone(), tagged_two])));
    assert_eq!(credited(&verdict, &one), A);
    assert_eq!(credited(&verdict, &two), A + 1);
    assert_eq!(verdict.open, []);

    let both = scene.pay(USDC, A, &[one.reference, two.reference]);
    let verdict = scene.land(&scene.draft().call(batch(&[tagged_one, both])));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(scene.ours(USDC), 2 * A, "ambiguous")]);
}

#[test]
fn case_20_accounts_after_the_last_of_a_batch_belong_to_no_transfer() {
    let mut scene = Scene::new();
    let (one, two) = (scene.invoice(USDC), scene.invoice(USDC));
    let transfers = [scene.pay(USDC, A, &[]), scene.pay(USDC, 1, &[])];
    let pay = marked(batch(&transfers), &[one.reference]);
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(credited(&verdict, &one), A + 1);

    let pay = marked(batch(&transfers), &[one.reference, two.reference]);
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(verdict.credits, []);
}

#[test]
fn case_21_tokens_that_no_transfer_brings_count_by_their_effect() {
    let mut scene = Scene::new();
    let (one, two) = (scene.invoice(USDC), scene.invoice(USDC));
    let mint_to = Instruction {
        program_id: TOKEN,
        accounts: vec![
            AccountMeta::new(key("USDC"), false),
            AccountMeta::new(scene.ours(USDC), false),
            AccountMeta::new_readonly(scene.payer, true),
        ],
        data: spl_token_interface::instruction::TokenInstruction::MintTo { amount: A }.pack(),
    };
    let tagged = marked(mint_to.clone(), &[one.reference]);
    let verdict = scene.land(&scene.draft().call(tagged.clone()));
    assert_eq!(credited(&verdict, &one), A);

    // They say nothing about how much is for which of two.
    let other = marked(mint_to, &[two.reference]);
    let verdict = scene.land(&scene.draft().call(tagged).call(other));
    assert_eq!(verdict.credits, []);
    assert_eq!(waiting(&verdict), [(scene.ours(USDC), 2 * A, "ambiguous")]);
}

#[test]
fn case_22_a_transfer_of_nothing_is_nothing() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let draft = scene.draft().call(scene.pay(rail, 0, &[one.reference]));
        assert_eq!(scene.land(&draft), Verdict::default(), "{rail:?}");

        let draft = draft.call(transfer(
            rail,
            scene.payer,
            scene.treasury,
            A,
            &[two.reference],
        ));
        let verdict = scene.land(&draft);
        assert_eq!(verdict.credits.len(), 1);
        assert_eq!(credited(&verdict, &two), A);
    }
}
