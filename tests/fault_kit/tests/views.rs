//! Several nodes of one chain that do not see the same.

use fault_kit::{Commitment, FakeNode};
use solana_commitment_config::CommitmentConfig;
use solana_pubsub_client::nonblocking::pubsub_client::PubsubClient;
use solana_rpc_client_api::config::{RpcTransactionLogsConfig, RpcTransactionLogsFilter};

use crate::scene::{SOON, Scene, confirmed, listed, next, silence};

#[tokio::test]
async fn a_lagging_node_sees_everything_later() {
    let scene = Scene::new().await;
    let late = FakeNode::on(&scene.chain).await.unwrap();
    late.set_lag(10);
    let late_rpc = confirmed(&late);
    let signature = scene.chain.land(scene.payment(1));
    scene.chain.advance(5);
    let known = async |rpc: &solana_rpc_client::nonblocking::rpc_client::RpcClient| {
        let statuses = rpc.get_signature_statuses(&[signature]).await.unwrap();
        statuses.value[0].is_some()
    };
    assert!(known(&scene.rpc).await);
    assert!(!known(&late_rpc).await);
    let processed = CommitmentConfig::processed();
    let slot = late_rpc.get_slot_with_commitment(processed).await.unwrap();
    assert_eq!(slot, scene.chain.slot() - 10);
    scene.chain.advance(5);
    assert!(known(&late_rpc).await);
    assert_eq!(late_rpc.get_balance(&scene.merchant).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stuck_node_stays_where_it_is() {
    let scene = Scene::new().await;
    scene.node.set_stuck(true);
    scene.chain.advance(7);
    let processed = CommitmentConfig::processed();
    assert_eq!(
        scene.rpc.get_slot_with_commitment(processed).await.unwrap(),
        1_000
    );
    scene.node.set_stuck(false);
    assert_eq!(
        scene.rpc.get_slot_with_commitment(processed).await.unwrap(),
        1_007
    );
}

#[tokio::test]
async fn two_nodes_disagree_about_a_transaction() {
    let scene = Scene::new().await;
    let other = FakeNode::on(&scene.chain).await.unwrap();
    let other_rpc = confirmed(&other);
    let signature = scene.chain.land(scene.payment(1));
    scene
        .chain
        .advance_until(&signature, Commitment::Finalized)
        .unwrap();
    other.hide(&signature);
    let statuses = scene
        .rpc
        .get_signature_statuses_with_history(&[signature])
        .await;
    assert!(statuses.unwrap().value[0].is_some());
    let statuses = other_rpc
        .get_signature_statuses_with_history(&[signature])
        .await;
    assert!(statuses.unwrap().value[0].is_none());
    assert_eq!(listed(&other_rpc, &scene.merchant).await, Vec::<u64>::new());
    other.show(&signature);
    assert_eq!(listed(&other_rpc, &scene.merchant).await, [1_000]);
}

#[tokio::test]
async fn a_node_forgets_old_history() {
    let scene = Scene::new().await;
    let signature = scene.chain.land(scene.payment(1));
    scene.chain.advance(40);
    scene.node.look(|view| view.history_from = 1_001);
    let statuses = scene
        .rpc
        .get_signature_statuses_with_history(&[signature])
        .await;
    assert!(statuses.unwrap().value[0].is_none());
}

#[tokio::test]
async fn notifications_come_when_the_node_sees_them() {
    let scene = Scene::new().await;
    scene.node.set_lag(3);
    let client = PubsubClient::new(scene.node.ws_url()).await.unwrap();
    let filter = RpcTransactionLogsFilter::Mentions(vec![scene.merchant.to_string()]);
    let config = RpcTransactionLogsConfig {
        commitment: Some(CommitmentConfig::confirmed()),
    };
    let (mut logs, _stop) = client.logs_subscribe(filter, config).await.unwrap();
    scene.node.wait_for_subscriptions(1, SOON).await.unwrap();
    scene.chain.land(scene.payment(1));
    scene.chain.advance(3);
    silence(&mut logs).await;
    scene.chain.advance(1);
    next(&mut logs).await;
}
