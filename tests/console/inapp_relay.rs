//! Signed transactions handed in while the chain is away: judged, stored once, and kept for broadcasting.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use shared::chain::{DepositAccount, Due, TOKEN_PROGRAMS, Terms, unsigned_payment};
use shared::invoices::Rail;
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer as _;
use solana_transaction::versioned::VersionedTransaction;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use stack::deployment::Builder;
use stack::{Answer, Console, Deployment};

use crate::inapp::{pending, set, submit, without_chain};
use crate::support::{
    LIMIT, assert_refused, assert_unchanged_by, books, finish, start, text_of, until, user,
};

/// The account that USDC is paid to.
fn account(view: &Value) -> DepositAccount {
    let recipient: Pubkey = text_of(&view["address"], "address").parse().expect("a key");
    let mint: Pubkey = text_of(&view["address"], "mint").parse().expect("a key");
    let program = TOKEN_PROGRAMS[0];
    DepositAccount {
        account: get_associated_token_address_with_program_id(&recipient, &mint, &program),
        rail: Rail::SolSplUsdc,
        recipient,
        token: Some((mint, program)),
    }
}

/// A pending invoice, and what it asks for.
async fn asked(console: &Console) -> (String, Due) {
    let id = pending(console).await;
    let view = console.get_invoice(&id).await.expect("an answer").body;
    let due = Due {
        account: account(&view),
        units: view["amount_micro"].as_u64().expect("an amount"),
        reference: text_of(&view, "reference_pubkey").parse().expect("a key"),
    };
    (id, due)
}

/// The payment of `due`, signed by the payer of this seed; its signature and its bytes.
fn signed(due: &Due, seed: u8) -> (String, String) {
    let payer = Keypair::new_from_array([seed; 32]);
    let terms = Terms {
        payer: payer.pubkey(),
        beacon: None,
        makes_account: false,
        unit_price_micro_lamports: 10_000,
        blockhash: Hash::new_from_array([5; 32]),
    };
    let unsigned: VersionedTransaction =
        wincode::deserialize(&unsigned_payment(due, &terms)).expect("a transaction");
    let signed = VersionedTransaction::try_new(unsigned.message, &[&payer]).expect("signed");
    let wire = wincode::serialize(&signed).expect("bytes");
    (signed.signatures[0].to_string(), STANDARD.encode(wire))
}

async fn hand_in(console: &Console, id: &str, signed_b64: &str) -> Answer {
    submit(console, id, &json!({"signed_b64": signed_b64})).await
}

async fn rows(deployment: &Deployment) -> Vec<(String, String)> {
    sqlx::query_as("select invoice_id, state from relay_transactions order by created_at")
        .fetch_all(deployment.pool())
        .await
        .expect("the rows")
}

#[tokio::test]
async fn what_does_not_pay_this_invoice_is_rejected_and_not_stored() {
    let deployment = start(without_chain()).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&console).await;
    let (_, other) = asked(&console).await;
    let less = Due {
        units: due.units - 1,
        ..due.clone()
    };
    let mut elsewhere = due.clone();
    elsewhere.account.account = Pubkey::new_from_array([1; 32]);
    let both = {
        let payer = Keypair::new_from_array([9; 32]);
        let terms = Terms {
            payer: payer.pubkey(),
            beacon: Some(other.reference),
            makes_account: true,
            unit_price_micro_lamports: 1,
            blockhash: Hash::new_from_array([5; 32]),
        };
        let unsigned: VersionedTransaction =
            wincode::deserialize(&unsigned_payment(&due, &terms)).expect("a transaction");
        let signed = VersionedTransaction::try_new(unsigned.message, &[&payer]).expect("signed");
        STANDARD.encode(wincode::serialize(&signed).expect("bytes"))
    };
    let good = signed(&due, 9).1;
    let bytes = STANDARD.decode(&good).expect("base64");
    let forged = [&bytes[..1], &[1; 64], &bytes[65..]].concat();
    let unsigned = [&bytes[..1], &[0; 64], &bytes[65..]].concat();
    let longer = [&bytes[..], &[0]].concat();
    let cases = [
        ("bad base64", "?".to_owned()),
        ("undecodable", "AQID".to_owned()),
        ("too large", STANDARD.encode([1; 1233])),
        ("trailing bytes", STANDARD.encode(longer)),
        ("bad signature", STANDARD.encode(forged)),
        ("missing signature", STANDARD.encode(unsigned)),
        ("amount too small", signed(&less, 9).1),
        ("wrong destination", signed(&elsewhere, 9).1),
        ("reference missing", signed(&other, 9).1),
        ("reference of another invoice", both),
    ];

    let before = books(deployment.pool()).await;
    for (reason, body) in cases {
        let answer = hand_in(&console, &id, &body).await;
        assert_refused(&answer, 400, &format!("tx_rejected: {reason}"), reason);
    }
    assert_eq!(rows(&deployment).await, []);
    assert_unchanged_by(&before, &deployment, "rejected").await;
    finish(deployment).await;
}

#[tokio::test]
async fn without_a_worker_it_is_stored_once_and_the_caller_asks_again() {
    // A caller waits longer than a worker does for what becomes of a transaction that the sweep took before.
    let builder = without_chain()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "2000")
        .env("QUITTANCE_PAY_RESEND_MS", "1999")
        .env("QUITTANCE_RELAY_HANDLER_TIMEOUT_MS", "1000")
        .env("QUITTANCE_SOLANA_RPC_TIMEOUT_MS", "500");
    let mut deployment = start(builder).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&console).await;
    let (signature, body) = signed(&due, 9);

    let calls = (0..8).map(|_| hand_in(&console, &id, &body));
    for answer in join_all(calls).await {
        assert_refused(&answer, 503, "settlement_pending", "nobody sends it");
        assert!(answer.headers.contains_key(RETRY_AFTER));
    }
    let stored = [(id.clone(), "sending".to_owned())];
    assert_eq!(rows(&deployment).await, stored);

    // All of them might land.
    let another = hand_in(&console, &id, &signed(&due, 8).1).await;
    let reason = "tx_rejected: another transaction of this invoice is under way";
    assert_refused(&another, 400, reason, "another payer's");
    assert_eq!(rows(&deployment).await, stored);

    // No node answers the worker: it may land any time, and goes on being sent.
    deployment.start_worker().await.expect("a worker");
    until("the worker has an answer", LIMIT, async || {
        let answer = hand_in(&console, &id, &body).await;
        let expected = json!({"signature": signature, "submitted": true});
        (answer.status == 200 && answer.body == expected).then_some(())
    })
    .await;
    assert_eq!(rows(&deployment).await, stored);
    let read = console.get_invoice(&id).await.expect("an answer").body;
    assert_eq!(read["status"], "pending");
    finish(deployment).await;
}

/// Nobody relays: the caller gives up at once, and the test says what became of it.
async fn judged(
    deployment: &Deployment,
    console: &Console,
    id: &str,
    body: &str,
    verdict: &'static str,
) {
    let answer = hand_in(console, id, body).await;
    assert_refused(&answer, 503, "settlement_pending", "stored");
    let judged = sqlx::query(verdict).execute(deployment.pool()).await;
    assert_eq!(judged.expect("the superuser may").rows_affected(), 1);
}

const TAKEN: &str =
    "update relay_transactions set state = 'expired', accepted = true where state = 'sending'";
const REFUSED: &str = "update relay_transactions set state = 'failed', failure = 'insufficient_sol'
                       where state = 'sending'";

fn without_patience() -> Builder {
    without_chain()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "300")
        .env("QUITTANCE_PAY_RESEND_MS", "299")
}

fn refused_for(reason: &str) -> Value {
    json!({"error": "submit_failed", "reason": reason})
}

#[tokio::test]
async fn transactions_that_nodes_took_are_bounded_for_good() {
    let builder = without_patience().env("QUITTANCE_RELAY_ATTEMPTS_MAX", "2");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&console).await;
    judged(&deployment, &console, &id, &signed(&due, 7).1, TAKEN).await;
    // What no node took is no attempt.
    for seed in 20..24 {
        judged(&deployment, &console, &id, &signed(&due, seed).1, REFUSED).await;
    }
    judged(&deployment, &console, &id, &signed(&due, 8).1, TAKEN).await;

    let refused = hand_in(&console, &id, &signed(&due, 9).1).await;

    assert_refused(&refused, 409, "submissions_exhausted", "the third");
    assert!(!refused.headers.contains_key(RETRY_AFTER), "it is final");
    // What was stored before keeps its answer.
    let again = hand_in(&console, &id, &signed(&due, 7).1).await;
    assert_eq!((again.status, again.body), (502, refused_for("other")));
    let again = hand_in(&console, &id, &signed(&due, 20).1).await;
    let expected = refused_for("insufficient_sol");
    assert_eq!((again.status, again.body), (502, expected));
    // A wallet that broadcasts by itself is still heard.
    let noted = submit(&console, &id, &json!({"signature": signed(&due, 10).0})).await;
    assert_eq!(noted.status, 200, "{}", noted.text);
    finish(deployment).await;
}

#[tokio::test]
async fn what_no_node_took_is_bounded_by_the_hour() {
    let builder = without_patience().env("QUITTANCE_SUBMISSIONS_PER_INVOICE_PER_HOUR", "3");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&console).await;
    for seed in [1, 2] {
        judged(&deployment, &console, &id, &signed(&due, seed).1, REFUSED).await;
    }
    let noted = json!({"signature": signed(&due, 3).0});
    assert_eq!(submit(&console, &id, &noted).await.status, 200);
    let bodies = [
        json!({"signed_b64": signed(&due, 4).1}),
        json!({"signature": signed(&due, 5).0}),
    ];
    for body in &bodies {
        let refused = submit(&console, &id, body).await;
        assert_refused(&refused, 429, "too_many_submissions", "the fourth");
        let wait = refused.headers[RETRY_AFTER].to_str().expect("a number");
        let wait: u64 = wait.parse().expect("a number");
        assert!((3_500..=3_600).contains(&wait), "{wait}");
    }
    // The oldest is about to leave the hour.
    let aged =
        "update relay_transactions set created_at = created_at - interval '59 minutes 50 seconds'
                where signature = $1";
    set(deployment.pool(), &signed(&due, 1).0, aged).await;
    let refused = submit(&console, &id, &bodies[0]).await;
    let wait = refused.headers[RETRY_AFTER].to_str().expect("a number");
    assert!(wait.parse::<u64>().expect("a number") <= 10, "{wait}");
    let aged = "update relay_transactions set created_at = created_at - interval '11 seconds' where signature = $1";
    set(deployment.pool(), &signed(&due, 1).0, aged).await;

    judged(&deployment, &console, &id, &signed(&due, 4).1, REFUSED).await;

    // What is over is not kept, so that the invoice's rows are bounded, too.
    assert_eq!(rows(&deployment).await.len(), 2);
    let refused = submit(&console, &id, &bodies[1]).await;
    assert_refused(&refused, 429, "too_many_submissions", "full again");
    finish(deployment).await;
}

#[tokio::test]
async fn what_is_final_keeps_the_next_one_waiting_until_it_was_judged() {
    const FINAL: &str = "update relay_transactions set state = 'finalized', accepted = true where state = 'sending'";
    let deployment = start(without_patience()).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&console).await;
    let (signature, body) = signed(&due, 7);
    judged(&deployment, &console, &id, &body, FINAL).await;
    let next = hand_in(&console, &id, &signed(&due, 8).1).await;
    let reason = "tx_rejected: another transaction of this invoice is under way";
    assert_refused(&next, 400, reason, "not judged yet");
    // It was worth less than is due: the rest may be paid.
    sqlx::query(
        "insert into chain_signatures (signature, source, state) values ($1, 'relay', 'done')",
    )
    .bind(&signature)
    .execute(deployment.pool())
    .await
    .expect("the superuser may");
    judged(&deployment, &console, &id, &signed(&due, 8).1, REFUSED).await;
    finish(deployment).await;
}

#[tokio::test]
async fn a_payment_that_is_being_confirmed_is_not_made_twice() {
    let deployment = start(without_chain()).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&console).await;
    set(
        deployment.pool(),
        &id,
        "update invoices set payment_confirming = true, payments_received_micro = amount_micro,
                             version = version + 1 where id = $1",
    )
    .await;
    let answer = hand_in(&console, &id, &signed(&due, 9).1).await;
    let reason = "tx_rejected: a payment of this invoice is being confirmed";
    assert_refused(&answer, 400, reason, "confirming");
    assert_eq!(rows(&deployment).await, []);
    // The books have no such payment.
    set(
        deployment.pool(),
        &id,
        "update invoices set payment_confirming = false, payments_received_micro = 0,
                             version = version + 1 where id = $1",
    )
    .await;
    finish(deployment).await;
}
