//! Transactions that come, go and come back.

use fault_kit::Commitment;
use fault_kit::chain::ChainError;
use serde_json::json;
use solana_signature::Signature;

use crate::scene::Scene;

async fn status(scene: &Scene, signature: &Signature) -> Option<String> {
    let answer = scene.rpc.get_signature_statuses(&[*signature]).await;
    let status = answer.unwrap().value.remove(0)?;
    let level = json!(status.confirmation_status?);
    level.as_str().map(ToOwned::to_owned)
}

#[tokio::test]
async fn a_status_can_regress() {
    let scene = Scene::new().await;
    let signature = scene.chain.land(scene.payment(1));
    scene.chain.confirm(&signature).unwrap();
    assert_eq!(
        status(&scene, &signature).await.as_deref(),
        Some("confirmed")
    );
    scene.chain.process(&signature).unwrap();
    assert_eq!(
        status(&scene, &signature).await.as_deref(),
        Some("processed")
    );
    scene.chain.advance(100);
    assert_eq!(
        status(&scene, &signature).await.as_deref(),
        Some("processed")
    );
    scene.chain.unpin(&signature).unwrap();
    assert_eq!(
        status(&scene, &signature).await.as_deref(),
        Some("finalized")
    );
}

#[tokio::test]
async fn a_fork_takes_everything_back_and_it_lands_again() {
    let scene = Scene::new().await;
    let signature = scene.chain.land(scene.payment(500));
    scene.chain.advance(2);
    assert_eq!(scene.listed(&scene.merchant).await, [1_000]);
    assert_eq!(scene.rpc.get_balance(&scene.merchant).await.unwrap(), 500);
    scene.chain.fork_out(&signature).unwrap();
    assert_eq!(scene.listed(&scene.merchant).await, Vec::<u64>::new());
    assert_eq!(status(&scene, &signature).await, None);
    assert_eq!(scene.rpc.get_balance(&scene.merchant).await.unwrap(), 0);
    assert_eq!(scene.chain.status(&signature), None);
    assert_eq!(
        scene.chain.fork_out(&signature),
        Err(ChainError::NotLanded(signature))
    );
    scene.chain.advance(40);
    scene.chain.reland(&signature, 1_040).unwrap();
    scene
        .chain
        .advance_until(&signature, Commitment::Finalized)
        .unwrap();
    assert_eq!(scene.listed(&scene.merchant).await, [1_040]);
    assert_eq!(scene.chain.slot_of(&signature), Some(1_040));
    assert_eq!(scene.rpc.get_balance(&scene.merchant).await.unwrap(), 500);
}

#[tokio::test]
async fn what_was_never_known_cannot_land() {
    let scene = Scene::new().await;
    let unknown = Signature::from([9; 64]);
    assert_eq!(
        scene.chain.reland(&unknown, 1_000),
        Err(ChainError::Unknown(unknown))
    );
    assert_eq!(
        scene.chain.confirm(&unknown),
        Err(ChainError::NotLanded(unknown))
    );
}
