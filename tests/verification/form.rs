//! Forms of transactions, and what wallets and programs put around a payment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::chain::{ChainTransaction, DecodeError, Verdict};
use shared::invoices::Rail;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;

use crate::draft::{Answer, Draft, Form, SLOT, bent, signature};
use crate::scene::{A, RAILS, Scene, credited, idle, key, marked, memo, transfer, waiting};

const SOL: Rail = Rail::SolNative;
const USDC: Rail = Rail::SolSplUsdc;
const LIGHTHOUSE: Pubkey = Pubkey::from_str_const("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");

/// The bytes in an answer.
fn body(answer: &Answer) -> Vec<u8> {
    let json = serde_json::to_value(answer).unwrap();
    STANDARD
        .decode(json["transaction"][0].as_str().unwrap())
        .unwrap()
}

/// The answer with other bytes in it.
fn with_body(answer: &Answer, body: &[u8]) -> Answer {
    bent(answer, |json| {
        json["transaction"][0] = STANDARD.encode(body).into();
    })
    .unwrap()
}

#[test]
fn case_33_a_failed_transaction_credits_nothing_and_the_next_one_does() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        let pay = scene.pay(rail, A, &[invoice.reference]);
        let draft = scene.draft().call(pay);
        assert_eq!(scene.land(&draft.clone().failing()), Verdict::default());
        // So does one that fails by itself.
        let too_much = scene.pay(rail, u64::MAX, &[invoice.reference]);
        let verdict = scene.land(&draft.clone().call(too_much));
        assert_eq!(verdict, Verdict::default());
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &invoice), A, "{rail:?}");
    }
}

#[test]
fn case_33_whatever_the_balances_of_a_failed_transaction_say() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(SOL);
    let pay = scene.pay(SOL, A, &[invoice.reference]);
    let landed = scene.draft().call(pay).land(&mut scene.ledger);
    let error = serde_json::json!({"InstructionError": [0, {"Custom": 1}]});
    let failed = bent(&landed, |json| {
        json["meta"]["err"] = error.clone();
        json["meta"]["status"] = serde_json::json!({ "Err": error });
    });
    assert_eq!(scene.judge(&failed.unwrap()), Ok(Verdict::default()));
}

#[test]
fn case_35_keys_of_lookup_tables_count() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        let pay = scene.pay(rail, A, &[invoice.reference]);
        let draft = scene.draft().call(pay).form(Form::V0);
        let draft = draft.looking_up(&[invoice.reference, key("unused"), scene.ours(rail)]);
        let answer = draft.land(&mut scene.ledger);
        let transaction = ChainTransaction::decode(&answer).unwrap();
        // Writable ones come first.
        let loaded = [scene.ours(rail), invoice.reference];
        assert!(transaction.keys.ends_with(&loaded), "{rail:?}");
        let verdict = scene.judge(&answer).unwrap();
        assert_eq!(credited(&verdict, &invoice), A, "{rail:?}");
    }
}

#[test]
fn case_36_every_version_is_read() {
    for rail in RAILS {
        let forms = [(Form::Legacy, 1), (Form::V0, 1), (Form::V1, 0x81)];
        for (form, first_byte) in forms {
            let mut scene = Scene::new();
            let invoice = scene.invoice(rail);
            let pay = scene.pay(rail, A, &[invoice.reference]);
            let answer = scene.draft().call(pay).form(form).land(&mut scene.ledger);
            assert_eq!(body(&answer).first(), Some(&first_byte));
            let transaction = ChainTransaction::decode(&answer).unwrap();
            assert_eq!(transaction.slot, SLOT);
            assert_eq!(transaction.signature, signature(1));
            assert!(transaction.succeeded);
            let verdict = scene.judge(&answer).unwrap();
            assert_eq!(credited(&verdict, &invoice), A, "{rail:?} {form:?}");
        }
    }
}

#[test]
fn case_37_a_transfer_that_a_program_makes_counts() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let untagged = scene.pay(rail, A, &[]);
        let draft = scene.draft().by_program(vec![untagged], &[one.reference]);
        let verdict = scene.land(&draft);
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");

        // Marks of the program's own instruction do not say which transfer is whose.
        let untagged = scene.pay(rail, A, &[]);
        let verdict = scene.land(&draft.by_program(vec![untagged], &[two.reference]));
        assert_eq!(verdict.credits, []);
        assert_eq!(waiting(&verdict), [(scene.ours(rail), 2 * A, "ambiguous")]);

        // Marks of what it calls do.
        let inner = vec![
            scene.pay(rail, A, &[one.reference]),
            scene.pay(rail, 8, &[two.reference]),
        ];
        let verdict = scene.land(&scene.draft().by_program(inner, &[]));
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(credited(&verdict, &two), 8, "{rail:?}");
    }
}

#[test]
fn case_37_a_program_that_only_looks_like_a_transfer_says_nothing() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let (one, two) = (scene.invoice(rail), scene.invoice(rail));
        let real = scene.pay(rail, A, &[one.reference]);
        let mut fake = scene.pay(rail, A, &[two.reference]);
        fake.program_id = key("not a token program");
        let verdict = scene.land(&scene.draft().call(real).call(fake));
        assert_eq!(credited(&verdict, &one), A, "{rail:?}");
        assert_eq!(credited(&verdict, &two), 0, "{rail:?}");
    }
}

#[test]
fn case_37_without_inner_instructions_only_effects_count() {
    for (rail, reason) in [(SOL, Some("no_transfer")), (USDC, None)] {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        let pay = scene.pay(rail, A, &[]);
        let draft = scene.draft().by_program(vec![pay], &[invoice.reference]);
        let answer = draft.land(&mut scene.ledger);
        let answer = bent(&answer, |json| {
            json["meta"]["innerInstructions"] = serde_json::Value::Null;
        });
        let verdict = scene.judge(&answer.unwrap()).unwrap();
        let expected = reason.map(|reason| (scene.ours(rail), A, reason));
        assert_eq!(waiting(&verdict), Vec::from_iter(expected));
    }
}

fn draft_with_guards(scene: &Scene, pay: Instruction) -> Draft {
    let guard = || idle(LIGHTHOUSE, &[scene.payer]);
    let guards = scene.draft().call(guard()).call(guard()).call(guard());
    guards.call(pay).call(guard()).call(memo(&[]))
}

#[test]
fn case_38_guards_and_memos_around_a_transfer_change_nothing() {
    for rail in RAILS {
        let mut scene = Scene::new();
        let invoice = scene.invoice(rail);
        let pay = scene.pay(rail, A, &[invoice.reference]);
        let verdict = scene.land(&draft_with_guards(&scene, pay));
        assert_eq!(credited(&verdict, &invoice), A, "{rail:?}");
        assert_eq!(verdict.open, []);
    }
}

#[test]
fn case_39_a_transfer_with_seed_is_a_transfer() {
    let mut scene = Scene::new();
    let (one, two) = (scene.invoice(SOL), scene.invoice(SOL));
    let derived = key("derived");
    scene.ledger.lamports.insert(derived, 10 * A);
    let seeded = |units, mark| {
        let treasury = scene.treasury;
        let pay = system::transfer_with_seed(
            &derived,
            &scene.payer,
            "seed".to_owned(),
            &key("program"),
            &treasury,
            units,
        );
        marked(pay, &[mark])
    };
    let (pay, other) = (seeded(A, one.reference), seeded(7, two.reference));
    let verdict = scene.land(&scene.draft().call(pay.clone()));
    assert_eq!(credited(&verdict, &one), A);
    let verdict = scene.land(&scene.draft().call(pay).call(other));
    assert_eq!((credited(&verdict, &one), credited(&verdict, &two)), (A, 7));
}

#[test]
fn case_40_a_durable_nonce_changes_nothing() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(SOL);
    let advance = system::advance_nonce_account(&key("nonce"), &scene.payer);
    let pay = transfer(SOL, scene.payer, scene.treasury, A, &[invoice.reference]);
    let verdict = scene.land(&scene.draft().call(advance).call(pay));
    assert_eq!(credited(&verdict, &invoice), A);
}

#[test]
fn case_41_what_cannot_be_read_is_not_skipped() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let pay = scene.pay(USDC, A, &[invoice.reference]);
    for form in [Form::Legacy, Form::V0, Form::V1] {
        let draft = scene.draft().call(pay.clone()).form(form);
        let answer = draft.land(&mut scene.ledger);
        let whole = body(&answer);
        let mut unknown = whole.clone();
        // The version is in the first byte, or in the first after the signature.
        unknown[if form == Form::V1 { 0 } else { 65 }] = 0x82;
        let truncated = &whole[..whole.len() - 1];
        for body in [&unknown[..], truncated, b"", b"nothing of the kind"] {
            let answer = with_body(&answer, body);
            assert_eq!(scene.judge(&answer), Err(DecodeError::Undecodable));
        }
    }
}

#[test]
fn case_41_other_encodings_and_missing_effects_are_not_guessed_at() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let pay = scene.pay(USDC, A, &[invoice.reference]);
    let answer = scene.draft().call(pay).land(&mut scene.ledger);
    let without = bent(&answer, |json| json["meta"] = serde_json::Value::Null);
    assert_eq!(scene.judge(&without.unwrap()), Err(DecodeError::NoEffects));
    let accounts = bent(&answer, |json| {
        json["transaction"] = serde_json::json!({"signatures": [], "accountKeys": []});
    });
    assert_eq!(
        scene.judge(&accounts.unwrap()),
        Err(DecodeError::Undecodable)
    );
    let base58 = bent(&answer, |json| {
        json["transaction"] =
            serde_json::json!([bs58::encode(body(&answer)).into_string(), "base58"]);
    });
    let verdict = scene.judge(&base58.unwrap()).unwrap();
    assert_eq!(credited(&verdict, &invoice), A);
}

#[test]
fn case_41_a_version_that_the_bytes_do_not_have_is_a_contradiction() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(USDC);
    let pay = scene.pay(USDC, A, &[invoice.reference]);
    let answer = scene.draft().call(pay).land(&mut scene.ledger);
    for version in [0, 1, 2, 255] {
        let answer = bent(&answer, |json| json["version"] = version.into());
        assert_eq!(
            scene.judge(&answer.unwrap()),
            Err(DecodeError::Mismatch("version"))
        );
    }
    let unsaid = bent(&answer, |json| json["version"] = serde_json::Value::Null);
    assert!(scene.judge(&unsaid.unwrap()).is_ok());
    // What does not fit a version at all is no answer.
    assert_eq!(bent(&answer, |json| json["version"] = 300.into()), None);
}

#[test]
fn an_instruction_that_lists_its_account_twice_is_read() {
    let mut scene = Scene::new();
    let invoice = scene.invoice(SOL);
    let mut pay = scene.pay(SOL, A, &[invoice.reference]);
    pay.accounts.push(AccountMeta::new(scene.treasury, false));
    let verdict = scene.land(&scene.draft().call(pay));
    assert_eq!(credited(&verdict, &invoice), A);
}
