//! Accounts and balances.

use fault_kit::FakeAccount;
use fault_kit::transaction::TOKEN_PROGRAM;
use serde_json::json;
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;

use crate::scene::Scene;

#[tokio::test]
async fn accounts_are_read_alone_and_together() {
    let scene = Scene::new().await;
    let key = Pubkey::new_unique();
    let mint = Pubkey::new_unique();
    let account = FakeAccount::token(TOKEN_PROGRAM, mint, scene.merchant, 12, 2_039_280);
    scene.chain.set_account(key, account);
    scene
        .chain
        .set_account(scene.merchant, FakeAccount::wallet(5));
    let one = scene.rpc.get_account(&key).await.unwrap();
    assert_eq!(
        (one.owner, one.lamports, one.data.len()),
        (TOKEN_PROGRAM, 2_039_280, 165)
    );
    assert_eq!(&one.data[..32], mint.as_ref());
    assert_eq!(&one.data[32..64], scene.merchant.as_ref());
    assert_eq!(one.data[64..72], 12_u64.to_le_bytes());
    let unknown = Pubkey::new_unique();
    let many = scene
        .rpc
        .get_multiple_accounts(&[unknown, scene.merchant])
        .await;
    let many = many.unwrap();
    assert!(many[0].is_none());
    assert_eq!(many[1].as_ref().unwrap().lamports, 5);
    assert_eq!(scene.rpc.get_balance(&unknown).await.unwrap(), 0);
    scene.chain.remove_account(&key);
    let gone = scene
        .rpc
        .get_account_with_commitment(&key, CommitmentConfig::confirmed());
    assert!(gone.await.unwrap().value.is_none());
}

#[tokio::test]
async fn a_slice_of_the_data_can_be_asked_for() {
    let scene = Scene::new().await;
    let account = FakeAccount::token(TOKEN_PROGRAM, scene.merchant, scene.merchant, 258, 1);
    scene.chain.set_account(scene.merchant, account);
    let slice = json!({ "encoding": "base64", "dataSlice": { "offset": 64, "length": 2 } });
    let params = json!([scene.merchant.to_string(), slice]);
    let answer = scene.call("getAccountInfo", params).await.unwrap();
    assert_eq!(answer["value"]["data"], json!(["AgE=", "base64"]));
    assert_eq!(answer["value"]["space"], json!(165));
    let many = json!([vec![scene.merchant.to_string(); 101]]);
    let refused = scene.call("getMultipleAccounts", many).await;
    assert_eq!(refused.unwrap_err().code, -32_602);
}

#[tokio::test]
async fn data_of_any_size_comes_compressed() {
    let scene = Scene::new().await;
    for size in [0, 1, 131_072, 131_073, 300_000] {
        let data: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        let account = FakeAccount {
            data: data.clone(),
            ..FakeAccount::wallet(1)
        };
        scene.chain.set_account(scene.merchant, account);
        let read = scene.rpc.get_account(&scene.merchant).await.unwrap();
        assert!(read.data == data, "{size}");
    }
}

#[tokio::test]
async fn balances_follow_commitment() {
    let scene = Scene::new().await;
    scene
        .chain
        .set_account(scene.merchant, FakeAccount::wallet(100));
    scene.chain.land(scene.payment(11));
    scene.chain.land(scene.payment(22));
    let balance = async |commitment| {
        let answer = scene
            .rpc
            .get_balance_with_commitment(&scene.merchant, commitment);
        answer.await.unwrap().value
    };
    assert_eq!(balance(CommitmentConfig::processed()).await, 133);
    assert_eq!(balance(CommitmentConfig::confirmed()).await, 100);
    scene.chain.advance(1);
    assert_eq!(balance(CommitmentConfig::confirmed()).await, 133);
    assert_eq!(balance(CommitmentConfig::finalized()).await, 100);
    scene.chain.advance(31);
    assert_eq!(balance(CommitmentConfig::finalized()).await, 133);
}
