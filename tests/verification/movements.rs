//! Movements, read from any bytes, against the programs' own decoders.

use proptest::prelude::*;
use shared::chain::{Movement, movements};
use solana_pubkey::Pubkey;
use spl_token_2022_interface::extension::transfer_fee::instruction::TransferFeeInstruction;
use spl_token_2022_interface::instruction::TokenInstruction;

use crate::ledger::{TOKEN, TOKEN_2022};
use crate::random;
use crate::scene::key;

/// Destination and amount of one instruction of a token program, as its own decoder reads it.
fn expected(accounts: &[Pubkey], data: &[u8]) -> Option<(Pubkey, u64)> {
    let to = |place: usize| (accounts.len() > place + 1).then(|| accounts[place]);
    match TokenInstruction::unpack(data).ok()? {
        #[expect(deprecated, reason = "people still use it")]
        TokenInstruction::Transfer { amount } => Some((to(1)?, amount)),
        TokenInstruction::TransferChecked { amount, .. } => Some((to(2)?, amount)),
        TokenInstruction::TransferFeeExtension => {
            match TransferFeeInstruction::unpack(&data[1..]).ok()? {
                TransferFeeInstruction::TransferCheckedWithFee { amount, fee, .. } => {
                    Some((to(2)?, amount.checked_sub(fee)?))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn effects(movements: &[Movement]) -> Vec<(Pubkey, u64)> {
    let effect = |movement: &Movement| (movement.destination, movement.units);
    movements.iter().map(effect).collect()
}

fn token_data() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        Just(vec![3]),
        Just(vec![12]),
        Just(vec![26, 1]),
        Just(vec![26]),
        Just(vec![255]),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    let rest = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(0..4_u8, 0..20),
    ];
    (first, rest).prop_map(|(first, rest)| [first, rest].concat())
}

fn accounts() -> impl Strategy<Value = Vec<Pubkey>> {
    (0..9_usize).prop_map(|count| (0..count).map(|place| key(&place.to_string())).collect())
}

fn token_program() -> impl Strategy<Value = Pubkey> {
    prop::sample::select(vec![TOKEN, TOKEN_2022])
}

proptest! {
    #![proptest_config(random(16))]

    #[test]
    fn any_bytes_of_any_program_are_read_without_panic(
        program in prop_oneof![
            token_program(),
            Just(solana_system_interface::program::ID),
            Just(key("another program")),
        ],
        accounts in accounts(),
        data in prop_oneof![token_data(), prop::collection::vec(any::<u8>(), 0..300)],
    ) {
        let found = movements(&program, &accounts, &data);
        prop_assert!(found.len() <= data.len());
        prop_assert!(program != key("another program") || found.is_empty());
        for movement in &found {
            prop_assert_eq!(movement.program, program);
            let parties = [movement.source, movement.destination, movement.authority];
            prop_assert!(parties.iter().all(|key| movement.accounts.contains(key)));
            prop_assert!(movement.accounts.iter().all(|key| accounts.contains(key)));
        }
        prop_assert_eq!(found, movements(&program, &accounts, &data));
    }

    #[test]
    fn token_transfers_are_what_the_program_understands(
        program in token_program(),
        accounts in accounts(),
        data in token_data(),
    ) {
        let found = movements(&program, &accounts, &data);
        if data.first() != Some(&255) && TokenInstruction::unpack(&data).is_ok() {
            let expected = Vec::from_iter(expected(&accounts, &data));
            prop_assert_eq!(effects(&found), expected);
        }
    }

    #[test]
    fn a_batch_is_what_its_parts_are(
        program in token_program(),
        parts in prop::collection::vec((accounts(), token_data()), 0..4),
    ) {
        let mut data = vec![255];
        let mut all = Vec::new();
        for (accounts, bytes) in &parts {
            data.push(u8::try_from(accounts.len()).unwrap());
            data.push(u8::try_from(bytes.len()).unwrap());
            data.extend(bytes);
            all.extend(accounts);
        }
        let single = parts.iter().filter(|(_, bytes)| bytes.first() != Some(&255));
        let single: Vec<Movement> = single
            .flat_map(|(accounts, bytes)| movements(&program, accounts, bytes))
            .collect();
        prop_assert_eq!(movements(&program, &all, &data), single);
    }
}
