//! Answers whose parts contradict each other. Whatever node they come from, they credit nobody.

use serde_json::{Value, json};
use shared::chain::{ChainTransaction, DecodeError};
use shared::invoices::Rail;

use crate::draft::{Answer, Draft, Form, bent};
use crate::scene::{A, Scene, credited, key, transfer};

const USDC: Rail = Rail::SolSplUsdc;

/// An answer about a payment of tokens, with keys from a lookup table.
fn answer() -> (Scene, Answer) {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let pay = scene.pay(USDC, A, &[invoice.reference]);
    let draft = scene.draft().form(Form::V0).call(pay);
    let draft = draft.looking_up(&[invoice.reference, scene.ours(USDC)]);
    let answer = draft.land(&mut scene.ledger);
    (scene, answer)
}

/// What decoding says after a change of the effects.
fn after(change: impl FnOnce(&mut Value)) -> Result<ChainTransaction, DecodeError> {
    let (_, answer) = answer();
    let answer = bent(&answer, |json| change(&mut json["meta"]));
    ChainTransaction::decode(&answer.unwrap())
}

fn rows<'a>(meta: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    meta[name].as_array_mut().unwrap()
}

#[test]
fn the_answer_itself_is_fine() {
    let (scene, answer) = answer();
    let verdict = scene.judge(&answer).unwrap();
    assert_eq!(credited(&verdict, &scene.invoices[0]), A);
    assert!(after(|_| {}).is_ok());
}

#[test]
fn there_is_a_balance_for_each_key_and_a_key_for_each_balance() {
    for name in ["preBalances", "postBalances"] {
        let fewer = after(|meta| drop(rows(meta, name).pop()));
        assert_eq!(fewer, Err(DecodeError::Mismatch("balances")), "{name}");
        let more = after(|meta| rows(meta, name).push(json!(1)));
        assert_eq!(more, Err(DecodeError::Mismatch("balances")), "{name}");
    }
}

#[test]
fn loaded_keys_are_those_that_the_transaction_asks_for() {
    let expected = Err(DecodeError::Mismatch("loaded addresses"));
    let change_loaded = |change: fn(&mut Value)| after(|meta| change(&mut meta["loadedAddresses"]));
    assert_eq!(change_loaded(|loaded| *loaded = Value::Null), expected);
    let swapped = change_loaded(|loaded| {
        let [writable, readonly] = ["writable", "readonly"].map(|side| loaded[side].clone());
        (loaded["writable"], loaded["readonly"]) =
            (json!([]), json!([writable[0].clone(), readonly[0].clone()]));
    });
    assert_eq!(swapped, expected);
    let no_key = change_loaded(|loaded| loaded["writable"][0] = "no key".into());
    assert_eq!(no_key, expected);
    let more = after(|meta| {
        let more = key("one more").to_string();
        rows(&mut meta["loadedAddresses"], "readonly").push(more.into());
        rows(meta, "preBalances").push(json!(0));
        rows(meta, "postBalances").push(json!(A));
    });
    assert_eq!(more, expected);
}

#[test]
fn no_key_is_there_twice() {
    let twice = after(|meta| {
        let writable = meta["loadedAddresses"]["writable"][0].clone();
        meta["loadedAddresses"]["readonly"][0] = writable;
    });
    assert_eq!(twice, Err(DecodeError::Mismatch("keys")));
}

#[test]
fn no_token_account_has_two_balances() {
    for name in ["preTokenBalances", "postTokenBalances"] {
        let twice = after(|meta| {
            let mut row = meta[name][0].clone();
            row["uiTokenAmount"]["amount"] = "1".into();
            rows(meta, name).insert(0, row);
        });
        assert_eq!(
            twice,
            Err(DecodeError::Mismatch("token balances")),
            "{name}"
        );
    }
}

#[test]
fn what_was_held_before_is_not_left_out_alone() {
    // Else everything that an account ever held would look like a gain.
    for name in ["preTokenBalances", "postTokenBalances"] {
        let without = after(|meta| meta[name] = Value::Null);
        assert_eq!(
            without,
            Err(DecodeError::Mismatch("token balances")),
            "{name}"
        );
    }
    // A node that keeps none of either does not say what happened.
    let without = after(|meta| {
        meta["preTokenBalances"] = Value::Null;
        meta.as_object_mut().unwrap().remove("postTokenBalances");
    });
    assert_eq!(without, Err(DecodeError::NoEffects));
}

#[test]
fn token_balances_are_complete() {
    let name = "postTokenBalances";
    let changes: [fn(&mut Value); 6] = [
        |row| row["accountIndex"] = 200.into(),
        |row| row["mint"] = "no key".into(),
        |row| row["owner"] = Value::Null,
        |row| drop(row.as_object_mut().unwrap().remove("programId")),
        |row| row["uiTokenAmount"]["amount"] = "18446744073709551616".into(),
        |row| row["uiTokenAmount"]["amount"] = "-1".into(),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let read = after(|meta| change(&mut meta[name][0]));
        let expected = Err(DecodeError::Mismatch("token balances"));
        assert_eq!(read, expected, "{place}");
    }
}

#[test]
fn the_fee_is_not_more_than_its_payer_had() {
    // What a treasury pays in fees counts as its own money again: an absurd fee would be an absurd gain.
    let mut scene = Scene::new();
    let out = transfer(Rail::SolNative, scene.treasury, scene.payer, A, &[]);
    let answer = Draft::new(scene.treasury).call(out).land(&mut scene.ledger);
    let absurd = bent(&answer, |json| json["meta"]["fee"] = u64::MAX.into());
    assert_eq!(
        scene.judge(&absurd.unwrap()),
        Err(DecodeError::Mismatch("fee"))
    );
}

#[test]
fn success_is_said_twice_or_not_at_all() {
    let error = json!({"InstructionError": [0, {"Custom": 1}]});
    let expected = Err(DecodeError::Mismatch("status"));
    let only_status = after(|meta| meta["status"] = json!({"Err": error.clone()}));
    assert_eq!(only_status, expected);
    let only_error = after(|meta| meta["err"] = error);
    assert_eq!(only_error, expected);
}

#[test]
fn instructions_name_keys_of_the_transaction() {
    let inner = json!([{"index": 0, "instructions": [
        {"programIdIndex": 1, "accounts": [0], "data": "11", "stackHeight": 2}
    ]}]);
    let with = |change: fn(&mut Value)| {
        after(|meta| {
            meta["innerInstructions"] = inner.clone();
            change(&mut meta["innerInstructions"][0]["instructions"][0]);
        })
    };
    assert!(with(|_| {}).is_ok());
    let changes: [fn(&mut Value); 4] = [
        |inner| inner["programIdIndex"] = 99.into(),
        |inner| inner["accounts"][0] = 99.into(),
        |inner| inner["data"] = "0OIl".into(),
        |inner| *inner = json!({"program": "x", "programId": "y", "parsed": {}}),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let expected = Err(DecodeError::Mismatch("instructions"));
        assert_eq!(with(change), expected, "{place}");
    }
}
