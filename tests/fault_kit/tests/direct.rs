//! Lines without a network: the same answers, the same faults.

use fault_kit::{FakeNode, Fault, Reply, RpcMethod};
use serde_json::{Value, json};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client::rpc_client::RpcClientConfig;
use solana_rpc_client_api::client_error::ErrorKind;
use solana_rpc_client_api::request::RpcRequest;

use crate::scene::{Scene, call, failure};

/// The chain of a scene, asked without a network.
fn line(scene: &Scene) -> (FakeNode, RpcClient) {
    let node = FakeNode::unserved(&scene.chain);
    let rpc = RpcClient::new_sender(node.line(), RpcClientConfig::default());
    (node, rpc)
}

#[tokio::test]
async fn both_ways_lead_to_the_same_answers() {
    let scene = Scene::new().await;
    let (node, rpc) = line(&scene);
    let signature = scene.chain.land(scene.payment(5)).to_string();
    scene.chain.advance(40);
    let options = json!({ "encoding": "base64", "commitment": "confirmed" });
    let calls = [
        ("getSlot", json!([{ "commitment": "finalized" }])),
        ("getTransaction", json!([signature, options])),
        ("getTransaction", json!(["no signature", options])),
        (
            "getSignaturesForAddress",
            json!([scene.merchant.to_string()]),
        ),
        ("getSignatureStatuses", json!([[signature]])),
        (
            "getAccountInfo",
            json!([scene.merchant.to_string(), options]),
        ),
        ("getSlot", json!([{ "minContextSlot": 5_000 }])),
        ("getNothing", json!([])),
    ];
    for (method, params) in calls {
        let directly = call(&rpc, method, params.clone()).await;
        let over_http = scene.call(method, params).await;
        assert_eq!(directly, over_http, "{method}");
    }
    assert_eq!(node.count(RpcMethod::GetTransaction), 2);
}

#[tokio::test]
async fn faults_come_through_and_nothing_waits() {
    let scene = Scene::new().await;
    let (node, rpc) = line(&scene);
    let asked = async || rpc.send::<Value>(RpcRequest::GetSlot, json!([])).await;
    let replies = [
        Reply::Hang,
        Reply::Disconnect,
        Reply::Garbage("<html>".to_owned()),
        Reply::Http {
            status: 503,
            retry_after: None,
        },
        Reply::too_many_requests(60),
    ];
    for reply in replies {
        node.fault(Fault::on(RpcMethod::GetSlot).first(1).reply(reply.clone()));
        let error = asked().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Custom(_)), "{reply:?}");
        node.clear_faults();
    }
    node.fault(Fault::on_any().reply(Reply::error(-32_005, "Node is unhealthy")));
    let refused = failure(&asked().await.unwrap_err());
    assert_eq!(
        (refused.code, &*refused.message),
        (-32_005, "Node is unhealthy")
    );
    node.clear_faults();
    node.fault(Fault::on_any().reply(Reply::Value(json!("far"))));
    assert_eq!(asked().await.unwrap(), "far");
}
