//! Slots, heights, blockhashes and the small methods.

use fault_kit::{Commitment, Health};
use serde_json::json;
use solana_commitment_config::CommitmentConfig;
use solana_hash::Hash;

use crate::scene::{Scene, failure};

#[tokio::test]
async fn commitments_trail_the_tip() {
    let scene = Scene::new().await;
    scene.chain.advance(10);
    let rpc = &scene.rpc;
    let slot = |commitment| rpc.get_slot_with_commitment(commitment);
    assert_eq!(slot(CommitmentConfig::processed()).await.unwrap(), 1_010);
    assert_eq!(slot(CommitmentConfig::confirmed()).await.unwrap(), 1_009);
    assert_eq!(slot(CommitmentConfig::finalized()).await.unwrap(), 979);
    scene.chain.set_behind(Commitment::Finalized, 5);
    assert_eq!(slot(CommitmentConfig::finalized()).await.unwrap(), 1_005);
    scene.chain.hold_at(Commitment::Finalized, 1_002);
    scene.chain.advance(50);
    assert_eq!(slot(CommitmentConfig::finalized()).await.unwrap(), 1_002);
}

#[tokio::test]
async fn skipped_slots_have_no_height() {
    let scene = Scene::new().await;
    let processed = CommitmentConfig::processed();
    let height = scene.rpc.get_block_height_with_commitment(processed);
    let before = height.await.unwrap();
    scene.chain.skip(3);
    scene.chain.advance(2);
    let height = scene.rpc.get_block_height_with_commitment(processed);
    assert_eq!(height.await.unwrap(), before + 2);
    assert_eq!(
        scene.rpc.get_epoch_info().await.unwrap().block_height,
        before + 1
    );
}

#[tokio::test]
async fn a_blockhash_lives_for_150_blocks() {
    let scene = Scene::new().await;
    let processed = CommitmentConfig::processed();
    let latest = scene.rpc.get_latest_blockhash_with_commitment(processed);
    let (blockhash, last_valid) = latest.await.unwrap();
    assert_eq!(blockhash, scene.chain.blockhash());
    assert_eq!(
        last_valid,
        scene.chain.height_at(Commitment::Processed) + 150
    );
    let valid = async |hash: Hash| {
        let answer = scene.rpc.is_blockhash_valid(&hash, processed);
        answer.await.unwrap()
    };
    scene.chain.advance(150);
    assert!(valid(blockhash).await);
    scene.chain.advance(1);
    assert!(!valid(blockhash).await);
    assert!(!valid(Hash::new_unique()).await);
}

#[tokio::test]
async fn the_small_methods_answer() {
    let scene = Scene::new().await;
    scene.chain.set_prioritization_fee(1_234);
    scene.chain.set_slot_milliseconds(300);
    let rpc = &scene.rpc;
    assert_eq!(
        rpc.get_genesis_hash().await.unwrap(),
        scene.chain.genesis_hash()
    );
    assert_eq!(rpc.get_version().await.unwrap().solana_core, "4.2.2");
    let rent = rpc.get_minimum_balance_for_rent_exemption(0).await.unwrap();
    assert_eq!(rent, 890_880);
    let fees = rpc.get_recent_prioritization_fees(&[scene.merchant]).await;
    let fees = fees.unwrap();
    assert_eq!(fees.len(), 150);
    assert!(fees.iter().all(|fee| fee.prioritization_fee == 1_234));
    let samples = rpc.get_recent_performance_samples(Some(4)).await.unwrap();
    assert_eq!(samples.len(), 4);
    assert_eq!(samples[0].num_slots, 200);
}

#[tokio::test]
async fn health_is_what_the_test_says() {
    let scene = Scene::new().await;
    scene.rpc.get_health().await.unwrap();
    scene.node.set_health(Health::Behind(42));
    let error = failure(&scene.rpc.get_health().await.unwrap_err());
    assert_eq!(
        (error.code, &*error.message),
        (-32_005, "Node is behind by 42 slots")
    );
    scene.node.set_health(Health::Well);
    scene.rpc.get_health().await.unwrap();
}

#[tokio::test]
async fn wrong_requests_are_refused_as_agave_refuses_them() {
    let scene = Scene::new().await;
    let code = async |method, params| scene.call(method, params).await.unwrap_err().code;
    assert_eq!(code("getNothing", json!([])).await, -32_601);
    assert_eq!(code("logsSubscribe", json!(["all"])).await, -32_601);
    assert_eq!(code("getTransaction", json!([])).await, -32_602);
    assert_eq!(
        code("getTransaction", json!(["no signature"])).await,
        -32_602
    );
    assert_eq!(
        code("getSlot", json!([{ "commitment": "recent" }])).await,
        -32_602
    );
    let far = json!([{ "minContextSlot": 1_001, "commitment": "processed" }]);
    assert_eq!(code("getSlot", far).await, -32_016);
}
