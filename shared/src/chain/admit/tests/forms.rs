//! Bytes that are no signed transaction, or hide what they do.

use proptest::prelude::*;

use super::*;

#[test]
fn case_54_forms_that_are_no_signed_transaction() {
    let due = native();
    let good = signed(Form::Legacy, &[pay(key(1), UNITS)]);
    assert_eq!(admit("%%%", &due), Err(Rejection::Base64));
    assert_eq!(admit("", &due), Err(Rejection::Undecodable));
    assert_eq!(admit("AQID", &due), Err(Rejection::Undecodable));
    assert_eq!(
        admit(&"A".repeat(BASE64_MAX + 4), &due),
        Err(Rejection::TooLarge)
    );
    let longer: Vec<u8> = good.iter().copied().chain([0]).collect();
    assert_eq!(judge(&longer, &due), Err(Rejection::TrailingBytes));
    assert_eq!(
        judge(&good[..good.len() - 1], &due),
        Err(Rejection::Undecodable)
    );
    assert_eq!(
        judge(&[0x7f; BYTES_MAX + 1], &due),
        Err(Rejection::TooLarge)
    );
    assert_eq!(judge(&[0x7f; BYTES_MAX], &due), Err(Rejection::Undecodable));
    let mut v1 = vec![V1_PREFIX; BYTES_MAX_V1 + 1];
    assert_eq!(judge(&v1, &due), Err(Rejection::TooLarge));
    v1.pop();
    assert_eq!(judge(&v1, &due), Err(Rejection::Undecodable));
    let mut unknown_version = signed(Form::V0, &[pay(key(1), UNITS)]);
    unknown_version[65] = 0x82;
    assert_eq!(judge(&unknown_version, &due), Err(Rejection::Undecodable));
}

#[test]
fn case_54_everybody_must_have_signed() {
    let due = native();
    let co_signer = Keypair::new_from_array([8; 32]);
    let mut memo = order(MEMO_PROGRAMS[0], b"x");
    memo.accounts
        .push(AccountMeta::new_readonly(co_signer.pubkey(), true));
    for form in [Form::Legacy, Form::V0, Form::V1] {
        let message = message(form, &[pay(key(1), UNITS), memo.clone()]);
        let both = VersionedTransaction::try_new(message, &[&payer(), &co_signer]).unwrap();
        let judged = |signed: &VersionedTransaction| {
            judge(&wincode::serialize(signed).unwrap(), &due).map(|_| ())
        };
        assert_eq!(judged(&both), Ok(()), "{form:?}");
        let mut one = both.clone();
        one.signatures[1] = Signature::default();
        assert_eq!(judged(&one), Err(Rejection::MissingSignature), "{form:?}");
        let mut swapped = both.clone();
        swapped.signatures.swap(0, 1);
        assert_eq!(judged(&swapped), Err(Rejection::BadSignature), "{form:?}");
    }
    let mut crowd = order(MEMO_PROGRAMS[0], b"x");
    let keys: Vec<Keypair> = (20..24).map(|n| Keypair::new_from_array([n; 32])).collect();
    let signers = keys
        .iter()
        .map(|k| AccountMeta::new_readonly(k.pubkey(), true));
    crowd.accounts.extend(signers);
    let message = message(Form::Legacy, &[pay(key(1), UNITS), crowd]);
    let mut all = vec![payer()];
    all.extend(keys);
    let all: Vec<&Keypair> = all.iter().collect();
    let crowded = VersionedTransaction::try_new(message, &all).unwrap();
    let wire = wincode::serialize(&crowded).unwrap();
    assert_eq!(judge(&wire, &due), Err(Rejection::TooManySigners));
}

#[test]
fn case_59_it_must_not_live_for_ever_nor_hide_keys() {
    let nonce = system::advance_nonce_account(&key(40), &payer().pubkey());
    for orders in [
        [nonce.clone(), pay(key(1), UNITS)],
        [pay(key(1), UNITS), nonce],
    ] {
        assert_judged(&orders, &native(), Err(Rejection::DurableNonce));
    }
    let VersionedMessage::V0(mut message) = message(Form::V0, &[pay(key(1), UNITS)]) else {
        unreachable!()
    };
    message
        .address_table_lookups
        .push(v0::MessageAddressTableLookup {
            account_key: key(41),
            writable_indexes: vec![],
            readonly_indexes: vec![0],
        });
    let hidden = VersionedTransaction::try_new(VersionedMessage::V0(message), &[&payer()]).unwrap();
    let wire = wincode::serialize(&hidden).unwrap();
    assert_eq!(judge(&wire, &native()), Err(Rejection::AddressTables));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn case_54_no_bit_may_be_flipped(form in 0..3_usize, place: prop::sample::Index, bit in 0..8_u8) {
        let form = [Form::Legacy, Form::V0, Form::V1][form];
        let mut wire = signed(form, &[pay(key(1), UNITS)]);
        let place = place.index(wire.len());
        wire[place] ^= 1 << bit;
        prop_assert!(judge(&wire, &native()).is_err(), "byte {} bit {}", place, bit);
    }

    #[test]
    fn any_bytes_are_judged(wire in prop::collection::vec(any::<u8>(), 0..1300), v1: bool) {
        let mut wire = wire;
        if let (true, Some(first)) = (v1, wire.first_mut()) {
            *first = V1_PREFIX;
        }
        prop_assert!(judge(&wire, &token()).is_err());
    }

    #[test]
    fn any_text_is_judged(text: String) {
        prop_assert!(admit(&text, &native()).is_err());
    }

    #[test]
    fn any_amount_is_compared_exactly(units: u64, asked: u64) {
        let due = Due { units: asked, ..token() };
        let wire = signed(Form::Legacy, &[pay_token(&due, TRANSFER_CHECKED, units)]);
        prop_assert_eq!(judge(&wire, &due).is_ok(), units >= asked);
    }
}
