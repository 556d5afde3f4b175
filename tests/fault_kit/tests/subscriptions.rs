//! Subscriptions without faults.

use std::time::Duration;

use fault_kit::node::{LogsFilter, Topic};
use fault_kit::{Commitment, RpcMethod};
use serde_json::json;
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use solana_pubsub_client::nonblocking::pubsub_client::{PubsubClient, PubsubClientError};
use solana_rpc_client_api::config::{
    RpcSignatureSubscribeConfig, RpcTransactionLogsConfig, RpcTransactionLogsFilter,
};
use solana_rpc_client_api::response::{Response, RpcLogsResponse, RpcSignatureResult};
use solana_transaction_error::TransactionError;

use crate::scene::{SOON, Scene, next, silence};

pub fn mentions(keys: &[Pubkey]) -> RpcTransactionLogsFilter {
    RpcTransactionLogsFilter::Mentions(keys.iter().map(ToString::to_string).collect())
}

pub const fn at(commitment: CommitmentConfig) -> RpcTransactionLogsConfig {
    RpcTransactionLogsConfig {
        commitment: Some(commitment),
    }
}

pub type Logs<'a> = futures::stream::BoxStream<'a, Response<RpcLogsResponse>>;

/// Listens for confirmed transactions of the merchant.
pub async fn listen<'a>(scene: &Scene, client: &'a PubsubClient) -> Logs<'a> {
    let filter = mentions(&[scene.merchant]);
    let subscribed = client.logs_subscribe(filter, at(CommitmentConfig::confirmed()));
    subscribed.await.unwrap().0
}

#[tokio::test]
async fn every_slot_is_told() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let (mut slots, stop) = client.slot_subscribe().await.unwrap();
    scene.chain.advance(3);
    for slot in 1_001..=1_003 {
        let told = next(&mut slots).await;
        assert_eq!(
            (told.slot, told.parent, told.root),
            (slot, slot - 1, slot - 31)
        );
    }
    let ticker = scene.chain.tick_every(Duration::from_millis(5));
    assert_eq!(next(&mut slots).await.slot, 1_004);
    assert_eq!(next(&mut slots).await.slot, 1_005);
    drop(ticker);
    stop().await;
    let none = |node: &fault_kit::FakeNode| node.subscriptions().is_empty();
    scene.node.wait_until(SOON, none).await.unwrap();
}

#[tokio::test]
async fn logs_come_at_their_commitment() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let filter = || mentions(&[scene.merchant]);
    let levels = [
        CommitmentConfig::processed(),
        CommitmentConfig::confirmed(),
        CommitmentConfig::finalized(),
    ];
    let (mut processed, _a) = client
        .logs_subscribe(filter(), at(levels[0]))
        .await
        .unwrap();
    let (mut confirmed, _b) = client
        .logs_subscribe(filter(), at(levels[1]))
        .await
        .unwrap();
    let (mut finalized, _c) = client
        .logs_subscribe(filter(), at(levels[2]))
        .await
        .unwrap();
    let signature = scene.chain.land(scene.payment(1));
    let told = next(&mut processed).await;
    assert_eq!(told.value.signature, signature.to_string());
    assert!(told.value.err.is_none() && !told.value.logs.is_empty());
    assert_eq!(told.context.slot, 1_000);
    silence(&mut confirmed).await;
    scene.chain.advance(1);
    assert_eq!(
        next(&mut confirmed).await.value.signature,
        signature.to_string()
    );
    silence(&mut finalized).await;
    scene.chain.advance(30);
    assert_eq!(
        next(&mut finalized).await.value.signature,
        signature.to_string()
    );
    scene.chain.advance(5);
    silence(&mut processed).await;
    silence(&mut finalized).await;
}

#[tokio::test]
async fn loaded_keys_are_mentioned_and_strangers_are_not() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let other = scene.builder().sol_transfer(Pubkey::new_unique(), 1, &[]);
    scene.chain.land(other.build().unwrap());
    let loaded = scene.builder().version(fault_kit::Version::V0);
    let loaded = loaded.lookup_table(Pubkey::new_unique(), vec![scene.merchant]);
    let loaded = loaded.sol_transfer(scene.merchant, 1, &[]).build().unwrap();
    let signature = scene.chain.land(loaded);
    scene.chain.advance(1);
    assert_eq!(next(&mut logs).await.value.signature, signature.to_string());
    silence(&mut logs).await;
}

#[tokio::test]
async fn a_failed_transaction_is_told_with_its_error() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let failed = scene.builder().sol_transfer(scene.merchant, 1, &[]);
    let failed = failed.failing(TransactionError::AccountNotFound);
    scene.chain.land(failed.build().unwrap());
    scene.chain.advance(1);
    let err = next(&mut logs).await.value.err.unwrap();
    assert_eq!(
        TransactionError::from(err),
        TransactionError::AccountNotFound
    );
}

#[tokio::test]
async fn who_comes_after_the_execution_hears_nothing() {
    let scene = Scene::new().await;
    scene.chain.land(scene.payment(1));
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    scene.chain.advance(40);
    silence(&mut logs).await;
}

#[tokio::test]
async fn a_transaction_that_lands_again_is_told_again() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let mut logs = listen(&scene, &client).await;
    let signature = scene.chain.land(scene.payment(1));
    scene.chain.advance(1);
    next(&mut logs).await;
    scene.chain.fork_out(&signature).unwrap();
    scene.chain.advance(5);
    scene.chain.reland(&signature, scene.chain.slot()).unwrap();
    scene.chain.advance(1);
    assert_eq!(next(&mut logs).await.value.signature, signature.to_string());
}

#[tokio::test]
async fn only_one_key_may_be_mentioned() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let filter = mentions(&[scene.merchant, Pubkey::new_unique()]);
    let refused = client.logs_subscribe(filter, at(CommitmentConfig::confirmed()));
    let Err(PubsubClientError::SubscribeFailed { reason, .. }) = refused.await else {
        panic!("two keys were taken");
    };
    assert!(reason.contains("Only 1 address supported"), "{reason}");
    assert!(scene.node.subscriptions().is_empty());
}

#[tokio::test]
async fn a_signature_is_told_once() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let signature = scene.chain.prepare(scene.payment(1));
    let config = RpcSignatureSubscribeConfig {
        commitment: Some(CommitmentConfig::confirmed()),
        enable_received_notification: None,
    };
    let subscribed = client.signature_subscribe(&signature, Some(config.clone()));
    let (mut told, _stop) = subscribed.await.unwrap();
    scene.chain.reland(&signature, 1_000).unwrap();
    silence(&mut told).await;
    scene.chain.advance(1);
    let RpcSignatureResult::ProcessedSignature(result) = next(&mut told).await.value else {
        panic!("received only");
    };
    assert!(result.err.is_none());
    assert!(scene.node.subscriptions().is_empty());
    let second = scene.pubsub().await;
    let subscribed = second.signature_subscribe(&signature, Some(config));
    let (mut told, _stop) = subscribed.await.unwrap();
    next(&mut told).await;
}

#[tokio::test]
async fn thousands_of_keys_are_no_trouble() {
    const KEYS: usize = 5_000;
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let keys: Vec<_> = (0..KEYS).map(|_| Pubkey::new_unique()).collect();
    let mut streams = Vec::new();
    for key in &keys {
        let subscribed =
            client.logs_subscribe(mentions(&[*key]), at(CommitmentConfig::confirmed()));
        streams.push(subscribed.await.unwrap().0);
    }
    let last = streams.last_mut().unwrap();
    let payments =
        (0..1_000).map(|amount| scene.builder().sol_transfer(keys[KEYS - 1], amount, &[]));
    scene
        .chain
        .land_all(payments.map(|payment| payment.build().unwrap()));
    scene.chain.advance(40);
    for _ in 0..1_000 {
        next(last).await;
    }
    silence(last).await;
}

#[tokio::test]
async fn the_node_knows_its_subscriptions() {
    let scene = Scene::new().await;
    let client = scene.pubsub().await;
    let logs = listen(&scene, &client).await;
    let subscriptions = scene.node.subscriptions();
    let topic = Topic::Logs(LogsFilter::Mentions(scene.merchant), Commitment::Confirmed);
    assert_eq!(subscriptions[0].topic, topic);
    assert_eq!(
        (scene.node.open_sockets(), scene.node.sockets_so_far()),
        (1, 1)
    );
    let call = scene.node.calls(RpcMethod::LogsSubscribe).remove(0);
    assert_eq!(call.params[1], json!({ "commitment": "confirmed" }));
    assert_eq!(call.socket, Some(subscriptions[0].socket));
    drop(logs);
    client.shutdown().await.unwrap();
    let gone = |node: &fault_kit::FakeNode| node.open_sockets() == 0;
    scene.node.wait_until(SOON, gone).await.unwrap();
    assert!(scene.node.subscriptions().is_empty());
}
