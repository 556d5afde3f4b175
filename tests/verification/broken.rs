//! The decoder reads whatever nodes say: arbitrary bytes, and real answers with anything in them changed. It never
//! panics, and what it accepts fits together.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use shared::chain::{ChainTransaction, DecodeError, Verdict, verify};
use solana_pubkey::Pubkey;

use crate::draft::{Answer, bent};
use crate::plan::{plan, scene};
use crate::random;
use crate::scene::key;

/// Something wrong in an answer.
#[derive(Debug, Clone)]
enum Change {
    Number(u64),
    Text(String),
    Null,
    Shorter,
    Longer,
    SwapWith(Index),
    LikeAnother(Index),
    Byte(Index, u8),
    Cut(Index),
    Inserted(Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let number = prop_oneof![0..70_u64, any::<u64>(), Just(u64::MAX)];
    let text = prop_oneof![
        Just(key("treasury").to_string()),
        Just("18446744073709551616".to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        "[ -~]{0,50}",
    ];
    prop_oneof![
        number.prop_map(Change::Number),
        text.prop_map(Change::Text),
        Just(Change::Null),
        Just(Change::Shorter),
        Just(Change::Longer),
        any::<Index>().prop_map(Change::SwapWith),
        any::<Index>().prop_map(Change::LikeAnother),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Change::Inserted(at, bytes)),
    ]
}

/// Where something can be changed.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    let inside: Vec<(String, &Value)> = match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(place, item)| (place.to_string(), item))
                .collect()
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), field))
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in inside {
        let path = format!("{path}/{name}");
        places(value, &path, found);
        found.push(path);
    }
}

fn apply(json: &mut Value, place: Index, change: &Change) {
    let mut all = Vec::new();
    places(json, "", &mut all);
    let path = |index: &Index| index.get(&all[..]).as_str();
    let here = path(&place);
    match change {
        Change::Number(number) => *json.pointer_mut(here).unwrap() = (*number).into(),
        Change::Text(text) => *json.pointer_mut(here).unwrap() = text.clone().into(),
        Change::Null => *json.pointer_mut(here).unwrap() = Value::Null,
        Change::Shorter => match json.pointer_mut(here).unwrap() {
            Value::Array(items) => drop(items.pop()),
            Value::Object(fields) => {
                let first = fields.keys().next().cloned();
                first.map(|first| fields.remove(&first));
            }
            other => *other = Value::Null,
        },
        Change::Longer => {
            if let Value::Array(items) = json.pointer_mut(here).unwrap() {
                let more = items.first().cloned().unwrap_or(Value::Null);
                items.push(more);
            }
        }
        Change::SwapWith(other) => {
            let theirs = json.pointer(path(other)).unwrap().clone();
            let ours = json.pointer(here).unwrap().clone();
            *json.pointer_mut(path(other)).unwrap() = ours;
            if let Some(value) = json.pointer_mut(here) {
                *value = theirs;
            }
        }
        Change::LikeAnother(other) => {
            let theirs = json.pointer(path(other)).unwrap().clone();
            *json.pointer_mut(here).unwrap() = theirs;
        }
        Change::Byte(..) | Change::Cut(_) | Change::Inserted(..) => change_body(json, change),
    }
}

fn change_body(json: &mut Value, change: &Change) {
    let text = json.pointer("/transaction/0").and_then(Value::as_str);
    let Some(mut bytes) = text.and_then(|text| STANDARD.decode(text).ok()) else {
        return;
    };
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Byte(at, byte) => *at.get_mut(&mut bytes) = *byte,
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Change::Inserted(at, more) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, more.iter().copied());
        }
        _ => {}
    }
    json["transaction"][0] = STANDARD.encode(bytes).into();
}

/// That an accepted transaction is what the answer says, and fits together.
fn check_coherent(transaction: &ChainTransaction, answer: &Answer) {
    let meta = answer.transaction.meta.as_ref().unwrap();
    let body = answer.transaction.transaction.decode().unwrap();
    let keys = &transaction.keys;
    let known: BTreeSet<&Pubkey> = keys.iter().collect();
    assert!(keys.starts_with(body.message.static_account_keys()));
    assert_eq!(known.len(), keys.len());
    assert_eq!(transaction.signature, body.signatures[0]);
    assert_eq!(transaction.succeeded, meta.err.is_none());

    let (before, after): (Vec<_>, Vec<_>) = transaction.lamports.iter().copied().unzip();
    assert_eq!(before.len(), keys.len());
    assert_eq!((&before, &after), (&meta.pre_balances, &meta.post_balances));
    assert!(transaction.fee <= before[0]);
    for rows in [&transaction.tokens_before, &transaction.tokens_after] {
        let accounts: BTreeSet<&Pubkey> = rows.iter().map(|row| &row.account).collect();
        assert_eq!(accounts.len(), rows.len());
        assert!(accounts.is_subset(&known));
    }
    for instruction in &transaction.instructions {
        assert!(known.contains(&instruction.program));
        assert!(instruction.accounts.iter().all(|key| known.contains(key)));
    }
}

/// What comes of an answer, whatever it is.
fn read(answer: &Answer) -> Result<Verdict, DecodeError> {
    let transaction = ChainTransaction::decode(answer)?;
    check_coherent(&transaction, answer);
    let scene = scene();
    let verdict = verify(&transaction, &scene.accounts, &scene.invoices);
    for account in &scene.accounts {
        let credits = verdict
            .credits
            .iter()
            .filter(|c| c.account == account.account);
        let sum: u128 = credits.map(|credit| u128::from(credit.units)).sum();
        let gained = verdict.gains.get(&account.account).copied().unwrap_or(0);
        assert!(sum <= u128::from(gained));
    }
    Ok(verdict)
}

fn changed(answer: &Answer, changes: &[(Index, Change)]) -> Option<Answer> {
    bent(answer, |json| {
        for (place, change) in changes {
            apply(json, *place, change);
        }
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    plan().prop_map(|plan| {
        let mut scene = scene();
        let draft = plan.draft(&scene);
        draft.land(&mut scene.ledger)
    })
}

fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    prop::collection::vec((any::<Index>(), change()), 1..4)
}

proptest! {
    #![proptest_config(random(4))]

    #[test]
    fn changed_answers_are_coherent_or_refused(answer in answer(), changes in changes()) {
        if let Some(changed) = changed(&answer, &changes) {
            let first = read(&changed);
            prop_assert_eq!(first, read(&changed));
        }
    }

    #[test]
    fn any_bytes_are_coherent_or_refused(
        answer in answer(),
        prefix in prop::sample::select(vec![vec![], vec![1], vec![0x81], vec![1, 0x80]]),
        bytes in prop::collection::vec(any::<u8>(), 0..1_400),
    ) {
        let body = STANDARD.encode([prefix, bytes].concat());
        let changed = bent(&answer, |json| json["transaction"][0] = body.into());
        let read = read(&changed.unwrap());
        prop_assert!(read.is_err() || read == Ok(Verdict::default()));
    }
}

/// Changes that always break everything would test nothing.
#[test]
fn changes_lead_to_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let mut outcomes = BTreeSet::new();
    for _ in 0..2_000 {
        let answer = answer().new_tree(&mut runner).unwrap().current();
        let changes = changes().new_tree(&mut runner).unwrap().current();
        outcomes.insert(match changed(&answer, &changes).as_ref().map(read) {
            None => "no answer".to_owned(),
            Some(Err(error)) => error.to_string(),
            Some(Ok(verdict)) if verdict == Verdict::default() => "nothing".to_owned(),
            Some(Ok(_)) => "money".to_owned(),
        });
    }
    let mismatches = [
        "balances",
        "fee",
        "instructions",
        "loaded addresses",
        "token balances",
        "version",
    ];
    let mismatches = mismatches.map(|part| DecodeError::Mismatch(part).to_string());
    let others = [
        DecodeError::NoEffects.to_string(),
        DecodeError::Undecodable.to_string(),
        "money".to_owned(),
        "no answer".to_owned(),
        "nothing".to_owned(),
    ];
    let expected: BTreeSet<String> = mismatches.into_iter().chain(others).collect();
    assert!(outcomes.is_superset(&expected), "{outcomes:?}");
}
