//! `getSignaturesForAddress` page by page.

use fault_kit::{Commitment, UnknownSignature};
use serde_json::{Value, json};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::rpc_client::GetConfirmedSignaturesForAddress2Config;
use solana_rpc_client_api::response::RpcConfirmedTransactionStatusWithSignature;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use crate::scene::{Scene, failure};

type Row = RpcConfirmedTransactionStatusWithSignature;

fn config() -> GetConfirmedSignaturesForAddress2Config {
    GetConfirmedSignaturesForAddress2Config {
        commitment: Some(CommitmentConfig::confirmed()),
        ..Default::default()
    }
}

async fn page(scene: &Scene, config: GetConfirmedSignaturesForAddress2Config) -> Vec<Row> {
    let merchant = &scene.merchant;
    let page = scene
        .rpc
        .get_signatures_for_address_with_config(merchant, config);
    page.await.unwrap()
}

fn payments(scene: &Scene, count: u64) -> Vec<Signature> {
    let payments = (0..count).map(|number| scene.payment(number + 1));
    let payments: Vec<_> = payments.collect();
    let signatures = payments.iter().map(|payment| payment.signature).collect();
    scene.chain.land_all(payments);
    scene.chain.advance(1);
    signatures
}

#[tokio::test]
async fn pages_hold_a_thousand_rows_and_continue() {
    let scene = Scene::new().await;
    let mut all = payments(&scene, 1_500);
    all.reverse();
    let first = page(&scene, config()).await;
    assert_eq!(first.len(), 1_000);
    let last: Signature = first[999].signature.parse().unwrap();
    let rest = GetConfirmedSignaturesForAddress2Config {
        before: Some(last),
        ..config()
    };
    let second = page(&scene, rest).await;
    let rows = first.iter().chain(&second);
    let listed: Vec<_> = rows.map(|row| row.signature.clone()).collect();
    let expected: Vec<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(listed, expected);
    let refused = json!([scene.merchant.to_string(), { "limit": 1_001 }]);
    let refused = scene.call("getSignaturesForAddress", refused).await;
    assert_eq!(refused.unwrap_err().code, -32_602);
}

#[tokio::test]
async fn until_and_before_are_not_listed_themselves() {
    let scene = Scene::new().await;
    let all = payments(&scene, 5);
    let between = GetConfirmedSignaturesForAddress2Config {
        before: Some(all[4]),
        until: Some(all[0]),
        limit: Some(2),
        ..config()
    };
    let rows = page(&scene, between).await;
    let listed: Vec<_> = rows.iter().map(|row| row.signature.clone()).collect();
    assert_eq!(listed, [all[3].to_string(), all[2].to_string()]);
}

#[tokio::test]
async fn rows_say_what_happened() {
    let scene = Scene::new().await;
    let err = TransactionError::AccountNotFound;
    let failed = scene.builder().sol_transfer(scene.merchant, 3, &[]);
    let failed = failed
        .memo("why", &[])
        .failing(err.clone())
        .build()
        .unwrap();
    scene.chain.land(failed);
    scene.chain.advance(1);
    let rows = page(&scene, config()).await;
    let row = rows.into_iter().next().unwrap();
    assert_eq!(TransactionError::from(row.err.unwrap()), err);
    assert_eq!((row.slot, row.memo.as_deref()), (1_000, Some("[3] why")));
    assert_eq!(json!(row.confirmation_status), json!("confirmed"));
    assert!(row.block_time.unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn commitment_bounds_the_rows() {
    let scene = Scene::new().await;
    let listed = |commitment: &'static str| {
        let params = json!([scene.merchant.to_string(), { "commitment": commitment }]);
        let answer = scene.call("getSignaturesForAddress", params);
        async { answer.await.map(|rows| rows.as_array().map_or(0, Vec::len)) }
    };
    let signature = scene.chain.land(scene.payment(1));
    assert_eq!(listed("confirmed").await, Ok(0));
    scene.chain.confirm(&signature).unwrap();
    assert_eq!(listed("confirmed").await, Ok(1));
    assert_eq!(listed("finalized").await, Ok(0));
    scene.chain.finalize(&signature).unwrap();
    assert_eq!(listed("finalized").await, Ok(1));
    assert_eq!(listed("processed").await.unwrap_err().code, -32_602);
}

#[tokio::test]
async fn an_unknown_until_is_what_the_test_wants() {
    let scene = Scene::new().await;
    payments(&scene, 3);
    let unknown = |name: &str| {
        let params = json!([scene.merchant.to_string(), {
            "commitment": "confirmed", name: Signature::from([9; 64]).to_string(),
        }]);
        let answer = scene.call("getSignaturesForAddress", params);
        async {
            answer
                .await
                .map(|rows: Value| rows.as_array().map_or(0, Vec::len))
        }
    };
    for name in ["until", "before"] {
        assert_eq!(unknown(name).await.unwrap_err().code, -32_020);
    }
    scene.node.set_unknown_signature(UnknownSignature::AllRows);
    assert_eq!(unknown("until").await, Ok(3));
    assert_eq!(unknown("before").await, Ok(0));
    scene.node.set_unknown_signature(UnknownSignature::Newest);
    assert_eq!(unknown("until").await, Ok(3));
    assert_eq!(unknown("before").await, Ok(3));
}

#[tokio::test]
async fn a_node_that_is_behind_the_wanted_slot_says_so() {
    let scene = Scene::new().await;
    let slot = scene.chain.slot_at(Commitment::Confirmed);
    let listed = |least: u64| {
        let params = json!([scene.merchant.to_string(), {
            "commitment": "confirmed", "minContextSlot": least,
        }]);
        scene.call("getSignaturesForAddress", params)
    };
    assert!(listed(slot).await.is_ok());
    assert_eq!(listed(slot + 1).await.unwrap_err().code, -32_016);
}

#[tokio::test]
async fn statuses_are_recent_or_from_the_history() {
    let scene = Scene::new().await;
    let signature = scene.chain.land(scene.payment(1));
    let unknown = Signature::from([9; 64]);
    let recent = scene
        .rpc
        .get_signature_statuses(&[signature, unknown])
        .await;
    let statuses = recent.unwrap().value;
    assert_eq!(
        json!(statuses[0].as_ref().unwrap().confirmation_status),
        json!("processed")
    );
    assert_eq!(statuses[0].as_ref().unwrap().confirmations, Some(0));
    assert_eq!(statuses[1], None);
    scene.chain.advance(301);
    let recent = scene.rpc.get_signature_statuses(&[signature]).await;
    assert_eq!(recent.unwrap().value, [None]);
    let old = scene
        .rpc
        .get_signature_statuses_with_history(&[signature])
        .await;
    let status = old.unwrap().value[0].clone().unwrap();
    assert_eq!((status.slot, status.confirmations), (1_000, None));
    let many = vec![signature; 257];
    let error = scene.rpc.get_signature_statuses(&many).await.unwrap_err();
    assert_eq!(failure(&error).code, -32_602);
}
