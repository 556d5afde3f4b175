//! Payers whose transaction cannot land are told why, and may try again.

use serde_json::{Value, json};
use stack::chain::instructions::transfer;
use stack::chain::{Gift, Signed, Version, Wallet};
use stack::{Answer, Console, Deployment};

use crate::inapp::{signed, submit};
use crate::scene::{Asked, builder, invoice, payer, purchase, top_up, until, until_status};

/// 1 USD at the stack's price of a SOL: a little more than a hundredth of one.
const DOLLAR: i64 = 1_000_000;

async fn wallet(deployment: &Deployment, lamports: u64, usdc: u64) -> Wallet {
    let gift = Gift {
        lamports,
        usdc,
        usdt: 0,
    };
    deployment.chain().wallet(gift).await.unwrap()
}

async fn hand_in(console: &Console, asked: &Asked, signed: &Signed) -> Answer {
    submit(console, &asked.id, json!({"signed_b64": signed.base64()})).await
}

/// It is refused for this reason, however often it is handed in.
async fn assert_refused(console: &Console, asked: &Asked, signed: &Signed, reason: &str) {
    for turn in ["first", "again"] {
        let answer = hand_in(console, asked, signed).await;
        let expected = json!({"error": "submit_failed", "reason": reason});
        assert_eq!((answer.status, answer.body), (502, expected), "{turn}");
    }
    let now = console.get_invoice(&asked.id).await.unwrap().body;
    assert_eq!(now["status"], "pending", "{reason}");
}

#[tokio::test]
async fn case_60_a_payer_with_too_little_is_told_of_what_and_may_try_again() {
    let deployment = builder().start().await.unwrap();
    let console = deployment.user().await.unwrap();
    let usdc = invoice(&console, &purchase("sol-spl-usdc", "crypto-inapp")).await;
    let cases = [
        ("a little", wallet(&deployment, 100_000_000, 1).await),
        (
            "no account of it",
            wallet(&deployment, 100_000_000, 0).await,
        ),
    ];
    for (what, poor) in cases {
        let signed = signed(&console, &usdc.id, &poor).await;
        assert_refused(&console, &usdc, &signed, "insufficient_token_balance").await;
        assert!(!what.is_empty());
    }

    let sol = invoice(&console, &top_up("sol-native", "crypto-inapp", DOLLAR)).await;
    let cases = [
        // Nothing at all, not even an account; enough for the fee; and for all but a lamport.
        Wallet::random(),
        wallet(&deployment, 1_000_000, 0).await,
        wallet(&deployment, sol.units - 1, 0).await,
    ];
    for poor in cases {
        let signed = signed(&console, &sol.id, &poor).await;
        assert_refused(&console, &sol, &signed, "insufficient_sol").await;
    }
    // What is left is less than an account must hold.
    let scant = wallet(&deployment, sol.units + 100_000, 0).await;
    let rest = signed(&console, &sol.id, &scant).await;
    assert_refused(&console, &sol, &rest, "below_rent").await;

    let rich = payer(&deployment).await;
    for asked in [&usdc, &sol] {
        let signed = signed(&console, &asked.id, &rich).await;
        let answer = hand_in(&console, asked, &signed).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        until_status(&console, &asked.id, "paid").await;
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn who_signs_for_too_long_is_told_so() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-native", "crypto-inapp")).await;
    let late = signed(&console, &asked.id, &wallet).await;
    let hash = late.transaction.message.recent_blockhash().to_string();
    let rpc = deployment.chain().rpc();
    until("its blockhash is dead", async || {
        let params = json!([hash, {"commitment": "processed"}]);
        let answer: Value = rpc.call("isBlockhashValid", params).await.unwrap();
        (answer["value"] == false).then_some(())
    })
    .await;

    assert_refused(&console, &asked, &late, "blockhash_expired").await;

    let again = signed(&console, &asked.id, &wallet).await;
    let answer = hand_in(&console, &asked, &again).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    until_status(&console, &asked.id, "paid").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn more_than_twenty_refusals_are_no_end() {
    let deployment = builder().start().await.unwrap();
    let console = deployment.user().await.unwrap();
    let chain = deployment.chain();
    let poor = wallet(&deployment, 1_000_000, 0).await;
    let asked = invoice(&console, &top_up("sol-native", "crypto-inapp", DOLLAR)).await;
    for more in 0..21 {
        let pay = transfer(
            &poor.address(),
            &asked.recipient,
            asked.units + more,
            &asked.references,
        );
        let signed = chain.sign(Version::V0, &poor, &[], &[pay]).await.unwrap();
        let answer = hand_in(&console, &asked, &signed).await;
        assert_eq!(answer.body["reason"], "insufficient_sol", "{}", answer.text);
    }
    let rich = payer(&deployment).await;
    let signed = signed(&console, &asked.id, &rich).await;
    let answer = hand_in(&console, &asked, &signed).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    until_status(&console, &asked.id, "paid").await;
    deployment.finish().await.unwrap();
}
