//! Numbers in names are those of the design's adversarial cases.

use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction as Order};
use solana_keypair::Keypair;
use solana_message::{v0, v1};
use solana_signer::Signer as _;
use solana_system_interface::instruction as system;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

use super::*;
use crate::chain::{DepositAccount, Terms, unsigned_payment};
use crate::invoices::Rail;

mod forms;

const UNITS: u64 = 49_000_000;
const TOKEN: Pubkey = TOKEN_PROGRAMS[0];

fn key(seed: u8) -> Pubkey {
    Pubkey::new_from_array([seed; 32])
}

fn payer() -> Keypair {
    Keypair::new_from_array([9; 32])
}

fn native() -> Due {
    let account = DepositAccount {
        account: key(1),
        rail: Rail::SolNative,
        recipient: key(1),
        token: None,
    };
    Due {
        account,
        units: UNITS,
        reference: key(3),
    }
}

fn token() -> Due {
    let account = DepositAccount {
        account: get_associated_token_address_with_program_id(&key(1), &key(2), &TOKEN),
        rail: Rail::SolSplUsdc,
        recipient: key(1),
        token: Some((key(2), TOKEN)),
    };
    Due {
        account,
        ..native()
    }
}

fn marked(mut order: Order, references: &[Pubkey]) -> Order {
    let marks = references
        .iter()
        .map(|key| AccountMeta::new_readonly(*key, false));
    order.accounts.extend(marks);
    order
}

fn pay(to: Pubkey, units: u64) -> Order {
    marked(system::transfer(&payer().pubkey(), &to, units), &[key(3)])
}

/// A transfer of the token; its discriminant may be another.
fn pay_token(due: &Due, discriminant: u8, units: u64) -> Order {
    let source = get_associated_token_address_with_program_id(&payer().pubkey(), &key(2), &TOKEN);
    let mut data = vec![discriminant];
    data.extend(units.to_le_bytes());
    let mut accounts = vec![AccountMeta::new(source, false)];
    if discriminant == TRANSFER_CHECKED {
        data.push(6);
        accounts.push(AccountMeta::new_readonly(key(2), false));
    }
    accounts.push(AccountMeta::new(due.account.account, false));
    accounts.push(AccountMeta::new_readonly(payer().pubkey(), true));
    let order = Order {
        program_id: TOKEN,
        accounts,
        data,
    };
    marked(order, &[key(3)])
}

fn order(program_id: Pubkey, data: &[u8]) -> Order {
    Order {
        program_id,
        accounts: vec![AccountMeta::new(payer().pubkey(), true)],
        data: data.to_vec(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Legacy,
    V0,
    V1,
}

fn message(form: Form, orders: &[Order]) -> VersionedMessage {
    let (payer, hash) = (payer().pubkey(), Hash::new_from_array([7; 32]));
    match form {
        Form::Legacy => VersionedMessage::Legacy(
            solana_message::legacy::Message::new_with_blockhash(orders, Some(&payer), &hash),
        ),
        Form::V0 => {
            VersionedMessage::V0(v0::Message::try_compile(&payer, orders, &[], hash).unwrap())
        }
        Form::V1 => VersionedMessage::V1(v1::Message::try_compile(&payer, orders, hash).unwrap()),
    }
}

fn signed(form: Form, orders: &[Order]) -> Vec<u8> {
    let signed = VersionedTransaction::try_new(message(form, orders), &[&payer()]).unwrap();
    wincode::serialize(&signed).unwrap()
}

fn judge(wire: &[u8], due: &Due) -> Result<Admitted, Rejection> {
    admit(&STANDARD.encode(wire), due)
}

#[track_caller]
fn assert_judged(orders: &[Order], due: &Due, expected: Result<(), Rejection>) {
    for form in [Form::Legacy, Form::V0, Form::V1] {
        let wire = signed(form, orders);
        let judged = judge(&wire, due);
        assert_eq!(judged.clone().map(|_| ()), expected, "{form:?}");
        if let Ok(admitted) = judged {
            assert_eq!(admitted.wire, wire);
            assert_eq!(admitted.blockhash, Hash::new_from_array([7; 32]));
            assert!(admitted.keys.contains(&key(3)));
            let named = signature_of(&STANDARD.encode(&wire));
            assert_eq!(named, Some(admitted.signature));
        }
    }
}

#[test]
fn what_we_build_is_admitted_once_it_is_signed() {
    for due in [native(), token()] {
        for (makes_account, beacon) in [(false, None), (true, Some(key(6)))] {
            let terms = Terms {
                payer: payer().pubkey(),
                beacon,
                makes_account,
                unit_price_micro_lamports: 10_000,
                blockhash: Hash::new_from_array([7; 32]),
            };
            let unsigned = unsigned_payment(&due, &terms);
            assert_eq!(judge(&unsigned, &due), Err(Rejection::MissingSignature));
            let built: VersionedTransaction = wincode::deserialize(&unsigned).unwrap();
            let built = VersionedTransaction::try_new(built.message, &[&payer()]).unwrap();
            let wire = wincode::serialize(&built).unwrap();
            let admitted = judge(&wire, &due).unwrap();
            assert_eq!(admitted.signature, built.signatures[0]);
        }
    }
}

#[test]
fn case_38_wallets_may_add_guards_memos_and_budget() {
    let guard = || order(GUARDS[0], &[4, 1, 2]);
    let memo = || order(MEMO_PROGRAMS[0], b"thanks");
    let budget = || {
        order(
            solana_compute_budget_interface::ID,
            &[3, 1, 0, 0, 0, 0, 0, 0, 0],
        )
    };
    let dressed = |payment: Order| {
        [
            budget(),
            guard(),
            guard(),
            guard(),
            payment,
            guard(),
            memo(),
            budget(),
        ]
    };
    assert_judged(&dressed(pay(key(1), UNITS)), &native(), Ok(()));
    let payment = pay_token(&token(), TRANSFER_CHECKED, UNITS);
    assert_judged(&dressed(payment.clone()), &token(), Ok(()));
    // Wallets put in five and more, of either program.
    for more in 1..=12 {
        let mut guarded = dressed(payment.clone()).to_vec();
        guarded.extend((0..more).map(|place| order(GUARDS[place % 2], &[4, 1, 2])));
        assert_judged(&guarded, &token(), Ok(()));
    }
    let mut guarded = dressed(payment).to_vec();
    guarded.push(order(key(77), &[4, 1, 2]));
    assert_judged(&guarded, &token(), Err(Rejection::ForbiddenProgram));
}

#[test]
fn more_than_due_is_enough_and_less_is_not() {
    for (units, expected) in [
        (UNITS, Ok(())),
        (u64::MAX, Ok(())),
        (UNITS - 1, Err(Rejection::AmountTooSmall)),
        (0, Err(Rejection::AmountTooSmall)),
    ] {
        assert_judged(&[pay(key(1), units)], &native(), expected);
        for discriminant in [TRANSFER, TRANSFER_CHECKED] {
            let payment = pay_token(&token(), discriminant, units);
            assert_judged(&[payment], &token(), expected);
        }
    }
}

#[test]
fn case_53_the_payment_must_name_this_invoice() {
    let bare = system::transfer(&payer().pubkey(), &key(1), UNITS);
    let missing = Err(Rejection::ReferenceMissing);
    assert_judged(std::slice::from_ref(&bare), &native(), missing);
    assert_judged(&[marked(bare.clone(), &[key(33)])], &native(), missing);
    // Elsewhere in the transaction it says nothing about the payment.
    let memo = marked(order(MEMO_PROGRAMS[1], b"x"), &[key(3)]);
    assert_judged(&[bare.clone(), memo], &native(), missing);
    // Both: whether the other is a reference only the database knows, from the keys.
    let both = signed(Form::Legacy, &[marked(bare, &[key(3), key(33)])]);
    let admitted = judge(&both, &native()).unwrap();
    assert!(admitted.keys.contains(&key(33)));
}

/// Instructions that have no part in a payment.
fn extras() -> [(&'static str, Order, Rejection); 12] {
    use Rejection::{ForbiddenInstruction, ForbiddenProgram, SeveralTransfers};
    let payer = payer().pubkey();
    let approve = Order {
        program_id: TOKEN,
        accounts: pay_token(&token(), TRANSFER, 1).accounts,
        data: [&[4][..], &UNITS.to_le_bytes()].concat(),
    };
    let batch = [255, 3, 9, 3, 0, 0, 0, 0, 0, 0, 0, 0];
    let with_fee = [26, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    let others = account_of(key(70), key(2));
    let fake = account_of(key(1), key(71));
    let nested = Order {
        data: vec![2],
        ..account_of(key(1), key(2))
    };
    let elsewhere = system::transfer(&payer, &key(50), 1);
    let tokens = pay_token(&token(), TRANSFER_CHECKED, 1);
    let assign = system::assign(&payer, &key(60));
    [
        ("a transfer elsewhere", elsewhere, SeveralTransfers),
        ("the payment twice", pay(key(1), UNITS), SeveralTransfers),
        ("a token transfer", tokens, SeveralTransfers),
        ("an approval", approve, ForbiddenInstruction),
        ("a batch", order(TOKEN, &batch), ForbiddenInstruction),
        ("with a fee", order(TOKEN, &with_fee), ForbiddenInstruction),
        ("an unknown program", order(key(60), &[]), ForbiddenProgram),
        ("an assignment", assign, ForbiddenInstruction),
        ("nothing", order(SYSTEM_PROGRAM, &[2]), ForbiddenInstruction),
        ("another's account", others, ForbiddenInstruction),
        ("another mint's account", fake, ForbiddenInstruction),
        ("a nested account", nested, ForbiddenInstruction),
    ]
}

fn account_of(wallet: Pubkey, mint: Pubkey) -> Order {
    create_associated_token_account_idempotent(&payer().pubkey(), &wallet, &mint, &TOKEN)
}

#[test]
fn case_55_nothing_else_may_be_done() {
    for (what, extra, rejection) in extras() {
        for due in [native(), token()] {
            let payment = match due.account.token {
                None => pay(key(1), UNITS),
                Some(_) => pay_token(&due, TRANSFER_CHECKED, UNITS),
            };
            for orders in [[extra.clone(), payment.clone()], [payment, extra.clone()]] {
                let judged = judge(&signed(Form::V0, &orders), &due).map(|_| ());
                assert_eq!(judged, Err(rejection), "{what}");
            }
        }
    }
    let memo = order(MEMO_PROGRAMS[0], b"x");
    assert_judged(&[memo], &native(), Err(Rejection::NoTransfer));
    // A token account has no part in a native payment.
    let orders = [account_of(key(1), key(2)), pay(key(1), UNITS)];
    assert_judged(&orders, &native(), Err(Rejection::ForbiddenInstruction));
}

#[test]
fn it_pays_the_right_thing_to_the_right_account() {
    assert_judged(
        &[pay(key(50), UNITS)],
        &native(),
        Err(Rejection::WrongDestination),
    );
    assert_judged(&[pay(key(1), UNITS)], &token(), Err(Rejection::WrongAsset));
    let tokens = pay_token(&token(), TRANSFER_CHECKED, UNITS);
    assert_judged(
        std::slice::from_ref(&tokens),
        &native(),
        Err(Rejection::WrongAsset),
    );
    let change = |place: usize, key: Pubkey| {
        let mut changed = tokens.clone();
        changed.accounts[place].pubkey = key;
        changed
    };
    assert_judged(&[change(1, key(51))], &token(), Err(Rejection::WrongMint));
    assert_judged(
        &[change(2, key(1))],
        &token(),
        Err(Rejection::WrongDestination),
    );
    let ours = token().account.account;
    assert_judged(&[change(0, ours)], &token(), Err(Rejection::WrongSource));
    // Several owners: the authority itself signs nothing.
    let mut shared = change(3, key(80));
    shared.accounts[3].is_signer = false;
    shared
        .accounts
        .push(AccountMeta::new_readonly(payer().pubkey(), true));
    assert_judged(&[shared], &token(), Err(Rejection::PayerMustSign));
    let mut on_behalf = change(3, key(1));
    on_behalf.accounts[3].is_signer = false;
    assert_judged(&[on_behalf], &token(), Err(Rejection::WrongSource));
    let newer = Order {
        program_id: TOKEN_PROGRAMS[1],
        ..tokens
    };
    assert_judged(&[newer], &token(), Err(Rejection::WrongAsset));
}
