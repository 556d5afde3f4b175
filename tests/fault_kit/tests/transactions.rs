//! What `getTransaction` says about transactions of every form.

use fault_kit::transaction::{MEMO_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, TransferKind};
use fault_kit::{
    Commitment, FakeTransaction, NewTokenAccount, TokenHolding, TokenTransfer, Version,
};
use solana_commitment_config::CommitmentConfig;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::RpcTransactionConfig;
use solana_rpc_client_api::response::{OptionSerializer, UiInstruction, UiTransactionTokenBalance};
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::TransactionVersion;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, UiTransactionEncoding,
};

use crate::scene::{Scene, failure};

type Fetched = EncodedConfirmedTransactionWithStatusMeta;

const fn config(version: Option<u8>, commitment: CommitmentConfig) -> RpcTransactionConfig {
    RpcTransactionConfig {
        encoding: Some(UiTransactionEncoding::Base64),
        commitment: Some(commitment),
        max_supported_transaction_version: version,
    }
}

async fn fetch(scene: &Scene, transaction: FakeTransaction) -> Fetched {
    let signature = scene.chain.land(transaction);
    scene.chain.advance(1);
    let config = config(Some(u8::MAX), CommitmentConfig::confirmed());
    let answer = scene.rpc.get_transaction_with_config(&signature, config);
    answer.await.unwrap()
}

fn rows(rows: OptionSerializer<Vec<UiTransactionTokenBalance>>) -> Vec<(u8, String, String)> {
    let rows: Option<Vec<_>> = rows.into();
    rows.unwrap()
        .into_iter()
        .map(|row| {
            let owner: Option<String> = row.owner.into();
            (
                row.account_index,
                row.ui_token_amount.amount,
                owner.unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_payment_is_signed_and_its_balances_follow() {
    let scene = Scene::new().await;
    let reference = Pubkey::new_unique();
    let built = scene
        .builder()
        .sol_transfer(scene.merchant, 7_000, &[reference])
        .memo("hello", &[])
        .build()
        .unwrap();
    let fetched = fetch(&scene, built.clone()).await;
    let decoded = fetched.transaction.transaction.decode().unwrap();
    assert!(decoded.verify_with_results().into_iter().all(|good| good));
    assert_eq!(decoded.signatures, [built.signature]);
    assert!(decoded.message.static_account_keys().contains(&reference));
    assert_eq!(
        fetched.transaction.version,
        Some(TransactionVersion::LEGACY)
    );
    assert_eq!(fetched.slot, 1_000);
    let meta = fetched.transaction.meta.unwrap();
    assert!(meta.err.is_none());
    let keys: Vec<_> = built.keys().collect();
    let delta = |key: Pubkey| {
        let place = keys.iter().position(|one| *one == key).unwrap();
        i128::from(meta.post_balances[place]) - i128::from(meta.pre_balances[place])
    };
    assert_eq!(keys.len(), meta.pre_balances.len());
    assert_eq!(delta(scene.payer.pubkey()), -7_000 - 5_000);
    assert_eq!(delta(scene.merchant), 7_000);
    assert_eq!(delta(reference), 0);
    assert_eq!(delta(MEMO_PROGRAM), 0);
}

#[tokio::test]
async fn tokens_move_between_associated_accounts() {
    let scene = Scene::new().await;
    let mint = Pubkey::new_unique();
    let payer = scene.payer.pubkey();
    let transfer = TokenTransfer::between(payer, scene.merchant, mint, 6, 5_000_000);
    let built = scene
        .builder()
        .create_token_account(&NewTokenAccount::for_destination(&transfer))
        .token_transfer(&transfer)
        .build()
        .unwrap();
    let place = |key| built.keys().position(|one| one == key).unwrap();
    let source = u8::try_from(place(transfer.source)).unwrap();
    let destination = u8::try_from(place(transfer.destination)).unwrap();
    let meta = fetch(&scene, built.clone()).await.transaction.meta.unwrap();
    let mut after = vec![
        (source, "0".to_owned(), payer.to_string()),
        (
            destination,
            "5000000".to_owned(),
            scene.merchant.to_string(),
        ),
    ];
    after.sort();
    assert_eq!(
        rows(meta.pre_token_balances),
        [(source, "5000000".to_owned(), payer.to_string())]
    );
    assert_eq!(rows(meta.post_token_balances), after);
    let account = scene.chain.account(&transfer.destination).unwrap();
    assert_eq!(account.token_amount(), Some(5_000_000));
    assert_eq!(
        (account.owner, account.lamports),
        (TOKEN_PROGRAM, 2_039_280)
    );
}

#[tokio::test]
async fn a_mint_can_withhold_a_fee() {
    let scene = Scene::new().await;
    let payer = scene.payer.pubkey();
    let mint = Pubkey::new_unique();
    let transfer = TokenTransfer {
        withheld: 10,
        kind: TransferKind::CheckedWithFee,
        ..TokenTransfer::within(TOKEN_2022_PROGRAM, payer, scene.merchant, mint, 2, 1_000)
    };
    let built = scene.builder().token_transfer(&transfer).build().unwrap();
    let meta = fetch(&scene, built).await.transaction.meta.unwrap();
    let after = rows(meta.post_token_balances);
    let owner = scene.merchant.to_string();
    let received = after.iter().find(|row| row.2 == owner).unwrap();
    assert_eq!(received.1, "990");
}

#[tokio::test]
async fn a_self_transfer_changes_nothing() {
    let scene = Scene::new().await;
    let payer = scene.payer.pubkey();
    let transfer = TokenTransfer::between(payer, payer, Pubkey::new_unique(), 6, 50);
    let built = scene.builder().token_transfer(&transfer).build().unwrap();
    let meta = fetch(&scene, built).await.transaction.meta.unwrap();
    assert_eq!(
        rows(meta.pre_token_balances),
        rows(meta.post_token_balances)
    );
}

#[tokio::test]
async fn a_failed_transaction_takes_the_fee_only() {
    let scene = Scene::new().await;
    let payer = scene.payer.pubkey();
    let transfer = TokenTransfer::between(payer, scene.merchant, Pubkey::new_unique(), 6, 50);
    let built = scene
        .builder()
        .create_token_account(&NewTokenAccount::for_destination(&transfer))
        .token_transfer(&transfer)
        .failing(TransactionError::AccountNotFound)
        .build()
        .unwrap();
    let meta = fetch(&scene, built.clone()).await.transaction.meta.unwrap();
    assert_eq!(
        TransactionError::from(meta.err.unwrap()),
        TransactionError::AccountNotFound
    );
    assert_eq!(
        rows(meta.pre_token_balances),
        rows(meta.post_token_balances)
    );
    let taken: u64 = meta.pre_balances.iter().sum::<u64>() - meta.post_balances.iter().sum::<u64>();
    assert_eq!(taken, meta.fee);
    assert_eq!(scene.chain.account(&transfer.destination), None);
}

#[tokio::test]
async fn lookup_tables_load_keys() {
    let scene = Scene::new().await;
    let reference = Pubkey::new_unique();
    let table = Pubkey::new_unique();
    let built = scene
        .builder()
        .version(Version::V0)
        .lookup_table(table, vec![Pubkey::new_unique(), reference, scene.merchant])
        .sol_transfer(scene.merchant, 9, &[reference])
        .build()
        .unwrap();
    assert_eq!(built.loaded_writable, [scene.merchant]);
    assert_eq!(built.loaded_readonly, [reference]);
    assert!(!built.static_keys.contains(&reference));
    let fetched = fetch(&scene, built).await;
    assert_eq!(
        fetched.transaction.version,
        Some(TransactionVersion::Number(0))
    );
    let meta = fetched.transaction.meta.unwrap();
    let loaded: Option<_> = meta.loaded_addresses.into();
    let loaded: solana_rpc_client_api::response::UiLoadedAddresses = loaded.unwrap();
    assert_eq!(loaded.readonly, [reference.to_string()]);
    assert_eq!(scene.listed(&reference).await, [1_000]);
}

#[tokio::test]
async fn versions_need_a_client_that_reads_them() {
    let scene = Scene::new().await;
    let confirmed = CommitmentConfig::confirmed();
    for (version, number) in [(Version::V0, 0), (Version::V1, 1), (Version::Other(2), 2)] {
        let builder = scene.builder().version(version);
        let built = builder
            .sol_transfer(scene.merchant, 1, &[])
            .build()
            .unwrap();
        let signature = scene.chain.land(built);
        scene.chain.advance(1);
        let get = |highest| {
            let config = config(highest, confirmed);
            scene.rpc.get_transaction_with_config(&signature, config)
        };
        let lower = u8::checked_sub(number, 1);
        let error = failure(&get(lower).await.unwrap_err());
        assert_eq!(error.code, -32_015);
        assert!(error.message.contains(&format!("({number})")), "{error}");
        let fetched = get(Some(number)).await.unwrap();
        let decoded = fetched.transaction.transaction.decode();
        assert_eq!(decoded.is_some(), number < 2);
        if let Some(decoded) = decoded {
            assert!(decoded.verify_with_results().into_iter().all(|good| good));
        }
        let named = TransactionVersion::Number(number);
        assert_eq!(fetched.transaction.version, Some(named));
    }
}

#[tokio::test]
async fn inner_instructions_point_to_the_keys() {
    let scene = Scene::new().await;
    let payer = scene.payer.pubkey();
    let transfer = TokenTransfer::between(payer, scene.merchant, Pubkey::new_unique(), 6, 77);
    let mut outer = transfer.instruction();
    outer
        .accounts
        .push(AccountMeta::new_readonly(TOKEN_PROGRAM, false));
    outer.program_id = Pubkey::new_unique();
    let built = scene
        .builder()
        .instruction(outer)
        .inner_token_transfer(0, &transfer)
        .build()
        .unwrap();
    let keys: Vec<_> = built.keys().collect();
    let meta = fetch(&scene, built).await.transaction.meta.unwrap();
    let inner: Option<Vec<_>> = meta.inner_instructions.into();
    let inner = inner.unwrap();
    let UiInstruction::Compiled(call) = &inner[0].instructions[0] else {
        panic!("not compiled: {inner:?}");
    };
    assert_eq!(keys[usize::from(call.program_id_index)], TOKEN_PROGRAM);
    assert_eq!(keys[usize::from(call.accounts[2])], transfer.destination);
    let missing = scene
        .builder()
        .inner(0, Instruction::new_with_bytes(scene.merchant, &[], vec![]));
    assert!(missing.build().is_err());
}

#[tokio::test]
async fn rows_say_what_the_test_wants() {
    let scene = Scene::new().await;
    let payer = scene.payer.pubkey();
    let transfer = TokenTransfer::between(payer, scene.merchant, Pubkey::new_unique(), 6, 40);
    let taken = TokenHolding {
        index: 0,
        account: transfer.destination,
        mint: transfer.mint,
        decimals: 6,
        program: TOKEN_PROGRAM,
        owner: payer,
        owner_before: scene.merchant,
        before: Some(2),
        after: Some(2),
        shown: Some("1000".to_owned()),
    };
    let builder = scene.builder().holding(taken).token_transfer(&transfer);
    let built = builder.lamports(scene.merchant, 3, 4).build().unwrap();
    let meta = fetch(&scene, built).await.transaction.meta.unwrap();
    let before = rows(meta.pre_token_balances);
    let owner = scene.merchant.to_string();
    assert!(before.iter().any(|row| (&*row.1, &row.2) == ("2", &owner)));
    let after: Option<Vec<_>> = meta.post_token_balances.into();
    let amounts = after.unwrap().into_iter().map(|row| row.ui_token_amount);
    let texts: Vec<_> = amounts
        .map(|amount| (amount.amount, amount.ui_amount_string))
        .collect();
    assert!(
        texts.contains(&("42".to_owned(), "1000".to_owned())),
        "{texts:?}"
    );
}

#[tokio::test]
async fn a_node_can_have_lost_the_effect() {
    let scene = Scene::new().await;
    let lost = FakeTransaction {
        without_meta: true,
        ..scene.payment(1)
    };
    assert!(fetch(&scene, lost).await.transaction.meta.is_none());
}

#[tokio::test]
async fn a_transaction_shows_at_its_commitment() {
    let scene = Scene::new().await;
    let signature = scene.chain.land(scene.payment(1));
    let known = async |commitment| {
        let config = config(Some(0), commitment);
        let answer = scene.rpc.get_transaction_with_config(&signature, config);
        answer.await.is_ok()
    };
    assert!(!known(CommitmentConfig::confirmed()).await);
    scene
        .chain
        .advance_until(&signature, Commitment::Confirmed)
        .unwrap();
    assert!(known(CommitmentConfig::confirmed()).await);
    assert!(!known(CommitmentConfig::finalized()).await);
    scene
        .chain
        .advance_until(&signature, Commitment::Finalized)
        .unwrap();
    assert!(known(CommitmentConfig::finalized()).await);
    let processed = config(Some(0), CommitmentConfig::processed());
    let refused = scene.rpc.get_transaction_with_config(&signature, processed);
    assert_eq!(failure(&refused.await.unwrap_err()).code, -32_602);
    let nobody = Signature::default();
    let unknown = scene
        .rpc
        .get_transaction(&nobody, UiTransactionEncoding::Base64);
    assert!(unknown.await.is_err());
}
