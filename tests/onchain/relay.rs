//! Broadcasting, with workers that die.

use serde_json::json;

use crate::inapp::{signed, submit};
use crate::scene::{builder, invoice, payer, purchase, until, until_status};

#[tokio::test]
async fn a_submission_survives_the_worker_that_had_it() {
    // A blockhash of a fast local chain lives for seconds only: the caller must give up soon.
    let mut deployment = builder()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "500")
        .env("QUITTANCE_PAY_RESEND_MS", "499")
        .start()
        .await
        .unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-inapp")).await;
    let signed = signed(&console, &asked.id, &wallet).await;
    // Nobody works while it is handed over.
    deployment.worker(0).pause().await.unwrap();
    let body = json!({"signed_b64": signed.base64()});
    let (answer, ()) = tokio::join!(submit(&console, &asked.id, body.clone()), async {
        until("the submission is stored", async || {
            let rows: i64 = sqlx::query_scalar("select count(*) from relay_transactions")
                .fetch_one(deployment.pool())
                .await
                .unwrap();
            (rows == 1).then_some(())
        })
        .await;
        deployment.kill_worker(0).await;
    });
    assert_eq!((answer.status, answer.error()), (503, "settlement_pending"));
    let invoice = console.get_invoice(&asked.id).await.unwrap().body;
    assert_eq!(invoice["status"], "pending");

    // Due at once, not after the time that the caller's own job is given first.
    sqlx::query("update relay_transactions set next_at = clock_timestamp()")
        .execute(deployment.pool())
        .await
        .unwrap();
    deployment.start_worker().await.unwrap();

    until_status(&console, &asked.id, "paid").await;
    let again = submit(&console, &asked.id, body).await;
    assert_eq!(
        (again.status, &again.body["already_processed"]),
        (200, &true.into())
    );
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn several_endpoints_one_of_them_dead_make_no_difference() {
    let chain = stack::chain::Chain::described(&std::env::var(stack::chain::TEST_CHAIN).unwrap())
        .await
        .unwrap();
    // Nothing listens on the first.
    let endpoints = format!("http://127.0.0.1:9,{}", chain.rpc_url());
    let deployment = builder()
        .env("SOLANA_RPC_URL", endpoints)
        .env("QUITTANCE_SOLANA_NODE_ABSENT_MS", "3000")
        .start()
        .await
        .unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-native", "crypto-inapp")).await;
    let signed = signed(&console, &asked.id, &wallet).await;
    let answer = submit(&console, &asked.id, json!({"signed_b64": signed.base64()})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    until_status(&console, &asked.id, "paid").await;
    deployment.finish().await.unwrap();
}
