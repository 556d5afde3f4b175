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
use stack::{Answer, Console, Deployment};

use crate::inapp::{pending, set, submit, without_chain};
use crate::support::{
    LIMIT, assert_refused, assert_unchanged_by, books, finish, start, text_of, until, user,
};

/// Registers the account that USDC is paid to, as a watcher does once it has asked the chain.
async fn register(deployment: &Deployment, view: &Value) -> DepositAccount {
    let recipient: Pubkey = text_of(&view["address"], "address").parse().expect("a key");
    let mint: Pubkey = text_of(&view["address"], "mint").parse().expect("a key");
    let program = TOKEN_PROGRAMS[0];
    let account = get_associated_token_address_with_program_id(&recipient, &mint, &program);
    sqlx::query(
        "insert into deposit_accounts (account, rail, recipient, mint, token_program)
         values ($1, 'sol-spl-usdc', $2, $3, $4) on conflict do nothing",
    )
    .bind(account.to_string())
    .bind(recipient.to_string())
    .bind(mint.to_string())
    .bind(program.to_string())
    .execute(deployment.pool())
    .await
    .expect("the superuser may");
    DepositAccount {
        account,
        rail: Rail::SolSplUsdc,
        recipient,
        token: Some((mint, program)),
    }
}

/// A pending invoice, and what it asks for.
async fn asked(deployment: &Deployment, console: &Console) -> (String, Due) {
    let id = pending(console).await;
    let view = console.get_invoice(&id).await.expect("an answer").body;
    let due = Due {
        account: register(deployment, &view).await,
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
    let (id, due) = asked(&deployment, &console).await;
    let (_, other) = asked(&deployment, &console).await;
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
    let (id, due) = asked(&deployment, &console).await;
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

#[tokio::test]
async fn submissions_of_an_invoice_are_bounded() {
    let builder = without_chain()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "300")
        .env("QUITTANCE_PAY_RESEND_MS", "299")
        .env("QUITTANCE_RELAY_ATTEMPTS_MAX", "2");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&deployment, &console).await;
    for seed in [7, 8] {
        let answer = hand_in(&console, &id, &signed(&due, seed).1).await;
        assert_refused(&answer, 503, "settlement_pending", "stored");
        sqlx::query("update relay_transactions set state = 'failed', reason = 'a test says so'")
            .execute(deployment.pool())
            .await
            .expect("the superuser may");
    }
    let refused = hand_in(&console, &id, &signed(&due, 9).1).await;
    assert_refused(&refused, 429, "too_many_submissions", "the third");
    // What was stored before keeps its answer.
    let again = hand_in(&console, &id, &signed(&due, 7).1).await;
    assert_refused(&again, 502, "submit_failed", "the first");
    finish(deployment).await;
}

#[tokio::test]
async fn a_payment_that_is_being_confirmed_is_not_made_twice() {
    let deployment = start(without_chain()).await;
    let console = user(&deployment).await;
    let (id, due) = asked(&deployment, &console).await;
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
