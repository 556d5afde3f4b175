//! The three ways to pay, on every rail.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::checkout::{Rail, SOL, USDC, USDT, buys, deployment, finish, funded};
use crate::node::{job, pays};

/// Whether the wallet makes the treasury's account first: only where there is none.
fn makes_account(rail: Rail) -> bool {
    rail.id == USDC.id
}

/// Has a wallet pay an invoice on each of the rails, with what else it must be told.
async fn pays_on(rails: [(Rail, Value); 3], channel: &str) {
    let deployment = deployment().await;
    let wallet = funded(&deployment).await;
    let mut payments = Vec::new();
    for (rail, told) in rails {
        let bought = buys(&deployment, rail, channel).await;
        let mut job = job(&deployment, &bought.console, &wallet);
        job["invoice_id"] = json!(bought.id);
        job["uri"] = json!(bought.qr_uri);
        for (name, value) in told.as_object().expect("fields") {
            job[name.as_str()] = value.clone();
        }
        let deployment = &deployment;
        payments.push(async move {
            let outcome = pays(&job).await;
            assert_eq!(outcome["creates_account"], makes_account(rail), "{rail:?}");
            bought.assert_paid_by(deployment, &outcome).await;
        });
    }
    // At once: the wallet mostly waits for the chain.
    join_all(payments).await;
    finish(deployment).await;
}

#[tokio::test]
async fn a_built_transaction_is_signed_and_handed_over() {
    let told = json!({"way": "relayed"});
    let rails = [SOL, USDC, USDT].map(|rail| (rail, told.clone()));
    pays_on(rails, "crypto-inapp").await;
}

#[tokio::test]
async fn a_built_transaction_is_signed_sent_and_reported() {
    let told = json!({"way": "reported"});
    let rails = [SOL, USDC, USDT].map(|rail| (rail, told.clone()));
    pays_on(rails, "crypto-inapp").await;
}

#[tokio::test]
async fn a_payment_uri_is_all_that_a_wallet_needs() {
    // Each in another version of transactions: the wallet chooses.
    let told = |version: Value| json!({"way": "scanned", "version": version});
    let rails = [
        (SOL, told(json!(1))),
        (USDC, told(json!(0))),
        (USDT, told(json!("legacy"))),
    ];
    pays_on(rails, "crypto-onchain").await;
}
