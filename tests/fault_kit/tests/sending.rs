//! `sendTransaction` and `simulateTransaction`.

use fault_kit::{Commitment, FakeTransaction, RpcFailure, Sending, Simulation};
use serde_json::{Value, json};
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use crate::scene::Scene;

async fn send(scene: &Scene, transaction: &FakeTransaction) -> Result<Value, RpcFailure> {
    let config = json!({ "encoding": "base64", "skipPreflight": true, "maxRetries": 0 });
    let params = json!([transaction.wire_base64(), config]);
    scene.call("sendTransaction", params).await
}

async fn checked(scene: &Scene, transaction: &FakeTransaction) -> Result<Value, RpcFailure> {
    let config = json!({ "encoding": "base64", "preflightCommitment": "processed" });
    let params = json!([transaction.wire_base64(), config]);
    scene.call("sendTransaction", params).await
}

#[tokio::test]
async fn a_prepared_transaction_lands_when_it_is_sent() {
    let scene = Scene::new().await;
    let payment = scene.payment(1);
    scene.chain.prepare(payment.clone());
    let answer = send(&scene, &payment).await.unwrap();
    assert_eq!(answer, json!(payment.signature.to_string()));
    assert_eq!(
        scene.chain.status(&payment.signature),
        Some(Commitment::Processed)
    );
    assert_eq!(scene.node.sent(), vec![payment.wire.clone()]);
    assert!(send(&scene, &payment).await.is_ok());
    let again = checked(&scene, &payment).await.unwrap_err();
    assert_eq!(again.code, -32_002);
    assert!(again.message.contains("already been processed"), "{again}");
}

#[tokio::test]
async fn what_is_not_prepared_is_recorded_only() {
    let scene = Scene::new().await;
    let payment = scene.payment(1);
    assert!(send(&scene, &payment).await.is_ok());
    assert_eq!(scene.node.sent().len(), 1);
    assert_eq!(scene.chain.status(&payment.signature), None);
}

#[tokio::test]
async fn sends_can_be_swallowed() {
    let scene = Scene::new().await;
    scene.node.set_sending(Sending::Swallow);
    let payment = scene.payment(1);
    scene.chain.prepare(payment.clone());
    assert!(send(&scene, &payment).await.is_ok());
    assert_eq!(scene.chain.status(&payment.signature), None);
    scene.node.set_sending(Sending::Deliver);
    assert!(send(&scene, &payment).await.is_ok());
    assert_eq!(
        scene.chain.status(&payment.signature),
        Some(Commitment::Processed)
    );
}

#[tokio::test]
async fn the_answer_can_name_another_signature() {
    let scene = Scene::new().await;
    let other = Signature::from([9; 64]);
    scene.node.set_sending(Sending::AnswerOther(other));
    let answer = send(&scene, &scene.payment(1)).await;
    assert_eq!(answer, Ok(json!(other.to_string())));
}

#[tokio::test]
async fn an_expired_transaction_is_taken_and_never_lands() {
    let scene = Scene::new().await;
    let payment = scene.payment(1);
    scene.chain.prepare(payment.clone());
    scene.chain.advance(151);
    assert!(send(&scene, &payment).await.is_ok());
    assert_eq!(scene.chain.status(&payment.signature), None);
    let refused = checked(&scene, &payment).await.unwrap_err();
    assert_eq!(refused.code, -32_002);
    assert!(refused.message.contains("Blockhash not found"), "{refused}");
}

#[tokio::test]
async fn a_broken_signature_is_found_by_the_check_only() {
    let scene = Scene::new().await;
    let mut payment = scene.payment(1);
    payment.wire[10] ^= 1;
    assert!(send(&scene, &payment).await.is_ok());
    assert_eq!(checked(&scene, &payment).await.unwrap_err().code, -32_003);
    payment.wire.push(0);
    assert_eq!(send(&scene, &payment).await.unwrap_err().code, -32_602);
    payment.wire.resize(1_233, 0);
    let error = send(&scene, &payment).await.unwrap_err();
    assert!(error.message.contains("too large"), "{error}");
}

#[tokio::test]
async fn a_simulation_finds_what_the_test_says() {
    let scene = Scene::new().await;
    let simulate = |transaction: &FakeTransaction| {
        let config = json!({ "encoding": "base64", "commitment": "processed", "sigVerify": true });
        let params = json!([transaction.wire_base64(), config]);
        scene.call("simulateTransaction", params)
    };
    let payment = scene.payment(1);
    let answer = simulate(&payment).await.unwrap();
    assert_eq!(answer["value"]["err"], Value::Null);
    scene.node.set_simulation(Simulation {
        err: Some(TransactionError::InsufficientFundsForFee),
        logs: vec!["too poor".to_owned()],
        units: 5,
    });
    let answer = simulate(&payment).await.unwrap();
    assert_eq!(answer["value"]["err"], json!("InsufficientFundsForFee"));
    assert_eq!(answer["value"]["logs"], json!(["too poor"]));
    assert_eq!(answer["value"]["unitsConsumed"], json!(5));
    assert_eq!(checked(&scene, &payment).await.unwrap_err().code, -32_002);
}
