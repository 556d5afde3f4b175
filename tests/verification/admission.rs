//! What wallets hand us for broadcasting, read from any text and from signed payments with anything changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::Index;
use shared::chain::{Due, Rejection, Terms, admit, signature_of, unsigned_payment};
use shared::invoices::Rail;
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_signer::Signer as _;

use crate::random;
use crate::scene::{A, RAILS, Scene, key};

fn due(rail: Rail) -> Due {
    let mut scene = Scene::new();
    let accounts = scene.accounts.clone();
    Due {
        account: accounts.into_iter().find(|a| a.rail == rail).unwrap(),
        units: A,
        reference: scene.invoice(rail).reference,
    }
}

/// The payment of an invoice, signed.
fn signed(due: &Due) -> Vec<u8> {
    let wallet = Keypair::new_from_array([5; 32]);
    let terms = Terms {
        payer: wallet.pubkey(),
        beacon: Some(key("beacon")),
        makes_account: true,
        unit_price_micro_lamports: 1,
        blockhash: Hash::new_from_array([8; 32]),
    };
    let mut wire = unsigned_payment(due, &terms);
    // One signature, after its count; the rest is what it signs.
    let signature = wallet.sign_message(&wire[65..]);
    wire[1..65].copy_from_slice(signature.as_ref());
    wire
}

#[test]
fn the_payment_that_is_asked_for_is_admitted() {
    for rail in RAILS {
        let due = due(rail);
        let wire = signed(&due);
        let admitted = admit(&STANDARD.encode(&wire), &due).unwrap();
        assert_eq!(admitted.wire, wire);
        assert_eq!(
            signature_of(&STANDARD.encode(&wire)),
            Some(admitted.signature)
        );
    }
}

fn judged(bytes: &[u8], due: &Due) -> Result<Vec<u8>, Rejection> {
    admit(&STANDARD.encode(bytes), due).map(|admitted| admitted.wire)
}

proptest! {
    #![proptest_config(random(1))]

    #[test]
    fn any_text_is_rejected(text in prop_oneof!["[ -~]{0,200}", "[A-Za-z0-9+/]{0,6000}"]) {
        prop_assert!(admit(&text, &due(Rail::SolNative)).is_err());
    }

    #[test]
    fn any_bytes_are_rejected(
        prefix in prop::sample::select(vec![vec![], vec![1], vec![0x81], vec![1, 0x80]]),
        bytes in prop::collection::vec(any::<u8>(), 0..5_000),
    ) {
        prop_assert!(judged(&[prefix, bytes].concat(), &due(Rail::SolSplUsdc)).is_err());
    }

    #[test]
    fn any_changed_byte_is_noticed(
        rail in prop::sample::select(&RAILS[..]),
        at in any::<Index>(),
        byte in any::<u8>(),
        cut in any::<Index>(),
        more in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        let due = due(rail);
        let wire = signed(&due);
        let mut changed = wire.clone();
        changed[at.index(wire.len())] = byte;
        let expected = (changed == wire).then_some(wire.clone());
        prop_assert_eq!(judged(&changed, &due).ok(), expected);
        prop_assert!(judged(&wire[..cut.index(wire.len())], &due).is_err());
        let longer = [wire, more].concat();
        prop_assert_eq!(judged(&longer, &due), Err(Rejection::TrailingBytes));
    }
}
