//! Faults in answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fault_kit::{Fault, Reply, RpcFailure, RpcMethod};
use serde_json::{Value, json};
use solana_rpc_client_api::client_error::ErrorKind;
use solana_rpc_client_api::request::RpcRequest;
use solana_rpc_client_api::response::RpcVersionInfo;

use crate::scene::{MOMENT, SOON, Scene};

#[tokio::test]
async fn null_then_the_value() {
    let scene = Scene::new().await;
    let signature = scene.chain.land(scene.payment(1));
    let other = scene.chain.land(scene.payment(2));
    scene.chain.advance(1);
    let fault = Fault::on(RpcMethod::GetTransaction).mentioning(&signature);
    scene.node.fault(fault.first(2).reply(Reply::Null));
    let known = async |signature: &solana_signature::Signature| {
        let params = json!([signature.to_string(), {
            "encoding": "base64", "commitment": "confirmed",
        }]);
        scene.call("getTransaction", params).await.unwrap() != Value::Null
    };
    assert!(known(&other).await);
    assert!(!known(&signature).await);
    assert!(!known(&signature).await);
    assert!(known(&signature).await);
    assert_eq!(scene.node.count(RpcMethod::GetTransaction), 4);
}

#[tokio::test]
async fn knowing_nothing_has_the_shape_of_the_method() {
    let scene = Scene::new().await;
    let signature = scene.chain.land(scene.payment(1));
    scene.chain.advance(1);
    scene.node.fault(Fault::on_any().reply(Reply::Null));
    let statuses = scene
        .rpc
        .get_signature_statuses(&[signature, signature])
        .await;
    assert_eq!(statuses.unwrap().value, [None, None]);
    assert_eq!(scene.listed(&scene.merchant).await, Vec::<u64>::new());
    let accounts = scene.rpc.get_multiple_accounts(&[scene.merchant]).await;
    assert_eq!(accounts.unwrap(), [None]);
    scene.node.clear_faults();
    assert_eq!(scene.listed(&scene.merchant).await, [1_000]);
}

#[tokio::test]
async fn the_client_waits_as_long_as_retry_after_says() {
    let scene = Scene::new().await;
    let fault = Fault::on(RpcMethod::GetSlot).first(1);
    scene.node.fault(fault.reply(Reply::too_many_requests(1)));
    let before = Instant::now();
    scene.rpc.get_slot().await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    assert_eq!(scene.node.count(RpcMethod::GetSlot), 2);
}

#[tokio::test]
async fn errors_and_values_and_garbage() {
    let scene = Scene::new().await;
    let version = |reply| {
        let fault = Fault::on(RpcMethod::GetVersion).first(1);
        scene.node.fault(fault.reply(reply));
    };
    version(Reply::Error(RpcFailure::unhealthy(Some(3))));
    let error = scene.call("getVersion", json!([])).await.unwrap_err();
    assert_eq!(
        (error.code, &*error.message),
        (-32_005, "Node is behind by 3 slots")
    );
    version(Reply::Value(json!({ "solana-core": "0.0.1" })));
    assert_eq!(scene.rpc.get_version().await.unwrap().solana_core, "0.0.1");
    version(Reply::Garbage("<html>".to_owned()));
    assert!(scene.rpc.get_version().await.is_err());
    version(Reply::Http {
        status: 503,
        retry_after: None,
    });
    let error = scene.rpc.get_version().await.unwrap_err();
    let ErrorKind::Reqwest(error) = error.kind() else {
        panic!("not an HTTP error: {error:?}");
    };
    assert_eq!(error.status().map(|status| status.as_u16()), Some(503));
    assert_eq!(scene.rpc.get_version().await.unwrap().solana_core, "4.2.2");
}

#[tokio::test]
async fn a_call_can_hang_come_late_or_lose_its_connection() {
    let scene = Scene::new().await;
    let slot = Fault::on(RpcMethod::GetSlot);
    scene.node.fault(slot.first(1).reply(Reply::Hang));
    let hanging = tokio::time::timeout(MOMENT, scene.rpc.get_slot()).await;
    assert!(hanging.is_err());
    let late = Fault::on(RpcMethod::GetSlot).first(1);
    scene.node.fault(late.reply(Reply::Delay(MOMENT)));
    let before = Instant::now();
    scene.rpc.get_slot().await.unwrap();
    assert!(before.elapsed() >= MOMENT);
    let version = Fault::on(RpcMethod::GetVersion).first(1);
    scene.node.fault(version.reply(Reply::Disconnect));
    let dropped = scene
        .rpc
        .send::<RpcVersionInfo>(RpcRequest::GetVersion, json!([]));
    assert!(dropped.await.is_err());
    scene.rpc.get_version().await.unwrap();
}

#[tokio::test]
async fn faults_count_skip_and_pass_on() {
    let scene = Scene::new().await;
    let second = Fault::on(RpcMethod::GetSlot).after(1).first(1);
    scene
        .node
        .fault(second.reply(Reply::error(-32_005, "second")));
    let seen = Arc::new(AtomicU64::new(0));
    let hook = Arc::clone(&seen);
    scene.node.on_call(RpcMethod::GetSlot, move |call| {
        hook.fetch_add(1, Ordering::SeqCst);
        if call.number == 3 {
            Reply::error(-32_004, "third")
        } else {
            Reply::PassThrough
        }
    });
    let code = async || {
        scene
            .call("getSlot", json!([]))
            .await
            .map_err(|error| error.code)
    };
    assert!(code().await.is_ok());
    assert_eq!(code().await, Err(-32_005));
    assert_eq!(code().await, Err(-32_004));
    assert!(code().await.is_ok());
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_hook_may_move_the_chain() {
    let scene = Scene::new().await;
    let chain = scene.chain.clone();
    scene.node.on_call(RpcMethod::GetSlot, move |_| {
        chain.advance(1);
        Reply::PassThrough
    });
    let first = scene.rpc.get_slot().await.unwrap();
    assert_eq!(scene.rpc.get_slot().await.unwrap(), first + 1);
}

#[tokio::test]
async fn every_call_is_on_record() {
    let scene = Scene::new().await;
    let waiting = scene.node.wait_for_calls(RpcMethod::GetBalance, 2, SOON);
    let calling = async {
        scene.rpc.get_balance(&scene.merchant).await.unwrap();
        scene.rpc.get_balance(&scene.merchant).await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, calling);
    waited.unwrap();
    let calls = scene.node.calls(RpcMethod::GetBalance);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].number, 2);
    assert!(calls[0].at <= calls[1].at);
    assert_eq!(calls[0].params[0], json!(scene.merchant.to_string()));
    assert_eq!(scene.node.all_calls().len(), 2);
    assert_eq!(scene.node.open_connections(), 1);
    let never = scene.node.wait_for_calls(RpcMethod::GetBalance, 3, MOMENT);
    assert!(never.await.is_err());
}
