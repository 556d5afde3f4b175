//! Nodes that say what is not so, and nodes that have lost what they knew.

use fault_kit::{Commitment, FakeNode, FakeTransaction, Lie};
use serde_json::{Value, json};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use crate::scene::{Scene, call, confirmed, listed};

/// A chain, an honest node, and one that is not.
struct Court {
    scene: Scene,
    liar: FakeNode,
    rpc: RpcClient,
    payment: FakeTransaction,
    signature: Signature,
}

impl Court {
    async fn new() -> Self {
        let scene = Scene::new().await;
        let liar = FakeNode::on(&scene.chain).await.unwrap();
        let payment = scene.payment(5);
        let signature = scene.chain.land(payment.clone());
        scene.chain.advance(40);
        Self {
            rpc: confirmed(&liar),
            scene,
            liar,
            payment,
            signature,
        }
    }

    async fn status(&self) -> Value {
        let history = json!({ "searchTransactionHistory": true });
        let params = json!([[self.signature.to_string()], history]);
        let answer = call(&self.rpc, "getSignatureStatuses", params).await;
        answer.unwrap()["value"][0].clone()
    }

    async fn transaction(&self) -> Value {
        let options = json!({ "encoding": "base64", "commitment": "finalized" });
        let params = json!([self.signature.to_string(), options]);
        call(&self.rpc, "getTransaction", params).await.unwrap()
    }

    async fn honest(&self) -> bool {
        let options = json!({ "encoding": "base64", "commitment": "finalized" });
        let params = json!([self.signature.to_string(), options]);
        let answer = call(&self.scene.rpc, "getTransaction", params)
            .await
            .unwrap();
        answer["slot"] == 1_000 && answer["meta"]["err"].is_null()
    }
}

#[tokio::test]
async fn a_node_says_that_it_failed() {
    let court = Court::new().await;
    let mut failed = court.payment.clone();
    failed.err = Some(TransactionError::AccountNotFound);
    court.liar.lie(&court.signature, Lie::effect(failed));
    assert_eq!(court.status().await["err"], "AccountNotFound");
    assert_eq!(court.transaction().await["meta"]["err"], "AccountNotFound");
    assert!(court.honest().await);
    let (slot, level, told) = court.liar.says(&court.signature).unwrap();
    assert_eq!((slot, level), (1_000, Commitment::Finalized));
    assert_eq!(told.err, Some(TransactionError::AccountNotFound));
    court.liar.be_honest();
    assert_eq!(court.status().await["err"], Value::Null);
    assert_eq!(court.transaction().await["meta"]["err"], Value::Null);
}

#[tokio::test]
async fn a_node_says_that_it_moved_more() {
    let court = Court::new().await;
    let mut more = court.payment.clone();
    let place = more
        .keys()
        .position(|key| key == court.scene.merchant)
        .unwrap();
    more.post_balances[place] += 1_000;
    court.liar.lie(&court.signature, Lie::effect(more.clone()));
    let told = court.transaction().await;
    let shown = told["meta"]["postBalances"][place].as_u64();
    assert_eq!(shown, Some(more.post_balances[place]));
    assert!(court.honest().await);
}

#[tokio::test]
async fn a_node_names_another_slot_and_another_commitment() {
    let court = Court::new().await;
    let later = court.scene.chain.land(court.scene.payment(6));
    court.scene.chain.advance(2);
    court.liar.lie(&court.signature, Lie::slot(1_041));
    assert_eq!(court.status().await["slot"], 1_041);
    assert_eq!(court.transaction().await, Value::Null);
    // Rows stay in the order of what they say.
    let merchant = court.scene.merchant;
    assert_eq!(listed(&court.rpc, &merchant).await, [1_041, 1_040]);
    assert_eq!(listed(&court.scene.rpc, &merchant).await, [1_040, 1_000]);
    court.liar.lie(&later, Lie::level(Commitment::Finalized));
    let (_, level, _) = court.liar.says(&later).unwrap();
    assert_eq!(level, Commitment::Finalized);
    assert_eq!(
        court.scene.chain.status(&later),
        Some(Commitment::Confirmed)
    );
}

#[tokio::test]
async fn a_node_invents_a_transaction() {
    let court = Court::new().await;
    let invented = court.scene.payment(7);
    let signature = invented.signature;
    court.liar.invent(invented, 1_005, Commitment::Finalized);
    let merchant = court.scene.merchant;
    assert_eq!(listed(&court.rpc, &merchant).await, [1_005, 1_000]);
    assert_eq!(listed(&court.scene.rpc, &merchant).await, [1_000]);
    let (slot, level, _) = court.liar.says(&signature).unwrap();
    assert_eq!((slot, level), (1_005, Commitment::Finalized));
    court.liar.be_honest();
    assert_eq!(listed(&court.rpc, &merchant).await, [1_000]);
}

#[tokio::test]
async fn a_node_boasts() {
    let court = Court::new().await;
    court.liar.boast(5_000);
    let finalized = json!([{ "commitment": "finalized" }]);
    let slot = call(&court.rpc, "getSlot", finalized.clone()).await;
    assert_eq!(slot.unwrap(), 1_009 + 5_000);
    let height = call(&court.rpc, "getBlockHeight", finalized).await;
    assert_eq!(height.unwrap(), 909 + 5_000);
    // It knows no more than before.
    let fresh = court.scene.chain.land(court.scene.payment(8));
    let (_, level, _) = court.liar.says(&fresh).unwrap();
    assert_eq!(level, Commitment::Processed);
}

#[tokio::test]
async fn a_node_that_starts_anew_knows_what_comes_and_not_what_was() {
    let court = Court::new().await;
    let merchant = court.scene.merchant;
    court.liar.restart();
    assert_eq!(court.status().await, Value::Null);
    assert_eq!(listed(&court.rpc, &merchant).await, [0_u64; 0]);
    court.scene.chain.advance(1);
    court.scene.chain.land(court.scene.payment(9));
    court.scene.chain.advance(1);
    assert_eq!(listed(&court.rpc, &merchant).await, [1_041]);
    court.liar.recall();
    assert_eq!(listed(&court.rpc, &merchant).await, [1_041, 1_000]);
    assert!(court.status().await.is_object());
}
