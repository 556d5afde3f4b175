//! What is built, read back.

use proptest::prelude::*;
use solana_compute_budget_interface::ID as COMPUTE_BUDGET;
use solana_message::VersionedMessage;
use solana_system_interface::program::ID as SYSTEM;
use solana_transaction::versioned::VersionedTransaction;
use spl_associated_token_account_interface::program::ID as TOKEN_ACCOUNTS;

use super::*;
use crate::chain::{Movement, TOKEN_PROGRAMS, movements};
use crate::invoices::Rail;

fn key(seed: u8) -> Pubkey {
    Pubkey::new_from_array([seed; 32])
}

fn due(program: Option<Pubkey>, units: u64) -> Due {
    let (recipient, mint) = (key(1), key(2));
    let account = match program {
        None => DepositAccount {
            account: recipient,
            rail: Rail::SolNative,
            recipient,
            token: None,
        },
        Some(program) => DepositAccount {
            account: get_associated_token_address_with_program_id(&recipient, &mint, &program),
            rail: Rail::SolSplUsdc,
            recipient,
            token: Some((mint, program)),
        },
    };
    Due {
        account,
        units,
        reference: key(3),
    }
}

fn terms() -> Terms {
    Terms {
        payer: key(4),
        beacon: None,
        makes_account: false,
        unit_price_micro_lamports: 10_000,
        blockhash: Hash::new_from_array([5; 32]),
    }
}

fn read(wire: &[u8]) -> VersionedTransaction {
    let transaction: VersionedTransaction = wincode::deserialize_exact(wire).unwrap();
    transaction.sanitize().unwrap();
    transaction
}

fn programs(transaction: &VersionedTransaction) -> Vec<Pubkey> {
    let keys = transaction.message.static_account_keys();
    let instructions = transaction.message.instructions().iter();
    instructions
        .map(|instruction| keys[usize::from(instruction.program_id_index)])
        .collect()
}

/// What the last instruction moves, and whether each of its accounts signs and may change.
fn payment(transaction: &VersionedTransaction) -> (Movement, Vec<(bool, bool)>) {
    let message = &transaction.message;
    let keys = message.static_account_keys();
    let last = message.instructions().last().unwrap();
    let own: Vec<Pubkey> = last
        .accounts
        .iter()
        .map(|i| keys[usize::from(*i)])
        .collect();
    let found = movements(&keys[usize::from(last.program_id_index)], &own, &last.data);
    let none = None::<&std::collections::HashSet<Pubkey>>;
    let rights = last.accounts.iter().map(|i| {
        let place = usize::from(*i);
        let writable = message.is_maybe_writable_with_reserved_addresses(place, none);
        (message.is_signer(place), writable)
    });
    (found[0].clone(), rights.collect())
}

#[test]
fn a_native_payment_is_a_marked_transfer() {
    let transaction = read(&unsigned_payment(&due(None, 700), &terms()));
    assert_eq!(transaction.signatures, [Signature::default()]);
    assert!(matches!(transaction.message, VersionedMessage::Legacy(_)));
    assert_eq!(*transaction.message.recent_blockhash(), terms().blockhash);
    assert_eq!(transaction.message.static_account_keys()[0], key(4));
    assert_eq!(
        programs(&transaction),
        [COMPUTE_BUDGET, COMPUTE_BUDGET, SYSTEM]
    );
    let (movement, rights) = payment(&transaction);
    let expected = (key(4), key(1), 700, vec![key(4), key(1), key(3)]);
    let found = (
        movement.source,
        movement.destination,
        movement.units,
        movement.accounts,
    );
    assert_eq!(found, expected);
    assert_eq!(rights, [(true, true), (false, true), (false, false)]);
}

#[test]
fn a_token_payment_goes_from_account_to_account() {
    for program in TOKEN_PROGRAMS {
        let due = due(Some(program), 700);
        for makes_account in [false, true] {
            let terms = Terms {
                makes_account,
                beacon: Some(key(6)),
                ..terms()
            };
            let wire = unsigned_payment(&due, &terms);
            assert!(wire.len() <= 1_232, "{}", wire.len());
            let transaction = read(&wire);
            let mut expected = vec![COMPUTE_BUDGET, COMPUTE_BUDGET, program];
            if makes_account {
                expected.insert(2, TOKEN_ACCOUNTS);
            }
            assert_eq!(programs(&transaction), expected);
            let (movement, rights) = payment(&transaction);
            let source = get_associated_token_address_with_program_id(&key(4), &key(2), &program);
            let accounts = [source, key(2), due.account.account, key(4), key(3), key(6)];
            assert_eq!(movement.accounts, accounts);
            assert_eq!((movement.program, movement.units), (program, 700));
            // Only the payer signs; the payer's and our account change, references never.
            let payer_pays = rights[3].0;
            assert!(payer_pays && rights[0].1 && rights[2].1);
            assert_eq!(rights[4..], [(false, false), (false, false)]);
            let last = transaction.message.instructions().last().unwrap();
            assert_eq!(last.data[9], 6);
        }
    }
}

#[test]
fn a_native_payment_makes_no_account() {
    let asked = Terms {
        makes_account: true,
        ..terms()
    };
    let due = due(None, 1);
    assert_eq!(
        unsigned_payment(&due, &asked),
        unsigned_payment(&due, &terms())
    );
}

proptest! {
    #[test]
    fn only_the_blockhash_makes_two_of_one_question_differ(
        units: u64, payer: [u8; 32], reference: [u8; 32], price: u64, first: [u8; 32], second: [u8; 32],
        token: bool, makes_account: bool
    ) {
        let due = Due {
            reference: Pubkey::new_from_array(reference),
            ..due(token.then_some(TOKEN_PROGRAMS[0]), units)
        };
        let terms = |hash| Terms {
            payer: Pubkey::new_from_array(payer),
            beacon: None,
            makes_account,
            unit_price_micro_lamports: price,
            blockhash: Hash::new_from_array(hash),
        };
        let wire = unsigned_payment(&due, &terms(first));
        prop_assert_eq!(&wire, &unsigned_payment(&due, &terms(first)));
        let mut other = read(&unsigned_payment(&due, &terms(second)));
        other.message.set_recent_blockhash(Hash::new_from_array(first));
        prop_assert_eq!(&wire, &wincode::serialize(&other).unwrap());
        let (movement, _) = payment(&other);
        prop_assert_eq!(movement.units, units);
        prop_assert_eq!(movement.destination, due.account.account);
        prop_assert!(movement.accounts.contains(&due.reference));
    }
}
