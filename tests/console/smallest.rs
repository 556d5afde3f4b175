//! The smallest amounts: the chain refuses a transfer of SOL that leaves the deposit wallet below the rent-exempt
//! minimum, so such an invoice is refused at creation.

use serde_json::{Value, json};
use stack::{Answer, Console, Deployment};

use crate::outside::ChainNode;
use crate::support::{
    LIMIT, assert_refused, assert_unchanged_by, books, created, finish, start, topup, until, user,
    with,
};

/// Lamports, at 0.15 micro-USD each: 15,000 micro-USD.
const MINIMUM: u64 = 100_000;

fn in_sol(amount_micro: i64) -> Value {
    with(topup(amount_micro), &json!({"rail": "sol-native"}))
}

async fn ask(console: &Console, amount_micro: i64) -> Answer {
    let answer = console.create_invoice(&in_sol(amount_micro)).await;
    answer.expect("an answer")
}

#[tokio::test]
async fn an_unfunded_wallet_takes_no_dust() {
    let mut node = ChainNode::closed(MINIMUM);
    let builder = Deployment::builder()
        .workers(0)
        .env("SOLANA_RPC_URL", node.url());
    let deployment = start(builder).await;
    let console = user(&deployment).await;

    // Nothing is known of the wallet: only SOL needs to know.
    let before = books(deployment.pool()).await;
    for amount in [1, 10_000_000] {
        assert_refused(&ask(&console, amount).await, 503, "unavailable", "no node");
    }
    assert_unchanged_by(&before, &deployment, "refused").await;
    created(&console, &topup(1)).await;

    node.open(&deployment.settings().deposit_address);
    until("the node is asked again", LIMIT, async || {
        (ask(&console, 15_000).await.status == 201).then_some(())
    })
    .await;
    let before = books(deployment.pool()).await;
    for amount in [1, 14_999] {
        let what = format!("{amount} to a wallet that does not exist");
        assert_refused(&ask(&console, amount).await, 400, "amount_too_small", &what);
    }
    assert_unchanged_by(&before, &deployment, "refused").await;
    created(&console, &topup(1)).await;

    // What is there counts: 60,000 lamports are 9,000 micro-USD.
    node.fund(40_000);
    until("the wallet is read again", LIMIT, async || {
        (ask(&console, 9_000).await.status == 201).then_some(())
    })
    .await;
    let answer = ask(&console, 8_999).await;
    assert_refused(&answer, 400, "amount_too_small", "a lamport less");

    node.fund(MINIMUM);
    until("the wallet is read again", LIMIT, async || {
        (ask(&console, 1).await.status == 201).then_some(())
    })
    .await;
    finish(deployment).await;
}

#[tokio::test]
async fn without_nodes_every_amount_is_taken() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    created(&console, &in_sol(1)).await;
    finish(deployment).await;
}
