//! A chain from start to stop, and how money moves on it.
//!
//! With a validator in `SOLANA_RPC_URL`, `stack test` has all but the local chain's own life run
//! there.

use std::env;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chain::instructions::{memo, transfer, transfer_tokens};
use crate::chain::server::{SLOT, ServerError};
use crate::chain::{
    Chain, ChainError, Commitment, Gift, LAMPORTS_PER_SOL, Location, TEST_CHAIN, Version, Wallet,
};
use crate::offspring::is_alive;
use crate::secret::random_token;

const RICH: Gift = Gift {
    lamports: LAMPORTS_PER_SOL / 10,
    usdc: 5_000_000,
    usdt: 7_000_000,
};

async fn shared() -> Chain {
    let details = env::var(TEST_CHAIN).expect("run through `stack test`");
    Chain::described(&details).await.expect("the run's chain")
}

fn external(chain: &Chain) -> Location {
    Location::External {
        rpc_url: chain.rpc_url().to_owned(),
        ws_url: chain.ws_url().to_owned(),
    }
}

#[tokio::test]
async fn a_local_chain_makes_money_final_within_seconds_and_ends() {
    let chain = Chain::local().await.expect("it starts");
    let server = chain.server().expect("its own");
    let begin = Instant::now();
    let wallet = chain.wallet(RICH).await.expect("given");
    let airdrop = chain.airdrop(&wallet.address(), LAMPORTS_PER_SOL).await;
    let signature = airdrop.expect("given");
    chain
        .confirm(&signature, Commitment::Finalized)
        .await
        .expect("final");
    assert!(begin.elapsed() < Duration::from_secs(30), "{begin:?}");
    let balance = chain.rpc().balance(&wallet.address()).await;
    assert_eq!(balance.expect("known"), RICH.lamports + LAMPORTS_PER_SOL);

    server.pause().await.expect("it runs");
    let silence = tokio::time::timeout(
        Duration::from_millis(300),
        chain.rpc().slot(Commitment::Processed),
    );
    assert!(silence.await.is_err());
    server.resume().expect("it runs");

    let process = server.process().expect("it runs");
    server.stop().await.expect("it stops");
    assert_eq!(process.exited().and_then(|status| status.code()), Some(0));
    assert!(!is_alive(process.pid()));
    assert!(matches!(
        server.stop().await,
        Err(ServerError::WrongMoment(_))
    ));
    server.start_again().await.expect("on the same ports");
    let owner = chain.rpc().owner(&chain.usdc_mint()).await;
    assert_eq!(owner.expect("it answers"), None, "everything is gone");
    server.kill().await.expect("it runs");
}

#[tokio::test]
async fn every_version_carries_tokens_and_references() {
    let chain = shared().await;
    let wallet = chain.wallet(RICH).await.expect("given");
    let payer = wallet.address();
    let treasury = chain.deposit_address();
    let account = chain.create_token_account(chain.usdc(), &treasury).await;
    let account = account.expect("created");
    for version in [Version::Legacy, Version::V0, Version::V1] {
        let [reference, beacon] = [(); 2].map(|()| Wallet::random().address());
        let pay = [
            memo("an order", &[]),
            transfer_tokens(
                chain.usdc(),
                &payer,
                &treasury,
                1_500_000,
                &[reference, beacon],
            ),
        ];
        let before = chain.rpc().token_balance(&account).await.expect("known");
        let signed = chain.sign(version, &wallet, &[], &pay).await;
        let signed = signed.expect("signed");
        let sent = chain.send_and_confirm(&signed, Commitment::Confirmed).await;
        assert_eq!(sent.expect("confirmed"), signed.signature(), "{version:?}");
        let after = chain.rpc().token_balance(&account).await.expect("known");
        assert_eq!(after, before.map(|held| held + 1_500_000));

        for key in [reference, beacon] {
            let params = json!([key.to_string(), {"commitment": "confirmed"}]);
            let found: Value = chain
                .rpc()
                .call("getSignaturesForAddress", params)
                .await
                .expect("an answer");
            assert_eq!(found[0]["signature"], signed.signature().to_string());
        }
        let seen = chain
            .rpc()
            .transaction(&signed.signature(), Commitment::Confirmed)
            .await
            .expect("an answer");
        assert_eq!(seen["transaction"][0], signed.base64(), "{version:?}");
    }
}

#[tokio::test]
async fn deployments_have_treasuries_of_their_own() {
    let chain = shared().await;
    let other = chain.with_new_treasury().await.expect("a new one");
    assert_ne!(chain.deposit_address(), other.deposit_address());
    let treasury = other.deposit_address();
    let least = other.rpc().rent_exemption(0).await.expect("known");
    let held = other.rpc().balance(&treasury).await.expect("known");
    assert_eq!(held, least);
    let account = other.usdt().account_of(&treasury);
    assert_eq!(
        other.rpc().token_balance(&account).await.expect("known"),
        None
    );
    other.open_treasury_accounts().await.expect("opened");
    assert_eq!(
        other.rpc().token_balance(&account).await.expect("known"),
        Some(0)
    );
}

#[tokio::test]
async fn what_a_seed_has_made_is_found_again() {
    let chain = shared().await;
    let seed = random_token();
    let location = external(&chain);
    let first = Chain::at(&location, &seed, SLOT, None).await.expect("made");
    let held = first.rpc().balance(&first.authority().address()).await;
    let second = Chain::at(&location, &seed, SLOT, None)
        .await
        .expect("found");
    assert_eq!(first.usdc(), second.usdc());
    assert_eq!(first.deposit_address(), second.deposit_address());
    let still = second.rpc().balance(&second.authority().address()).await;
    assert_eq!(
        held.expect("known"),
        still.expect("known"),
        "no further fee"
    );
    assert!(second.server().is_none());
}

#[tokio::test]
async fn a_transaction_that_fails_says_why() {
    let chain = shared().await;
    let wallet = chain.wallet(RICH).await.expect("given");
    let too_much = transfer(
        &wallet.address(),
        &chain.deposit_address(),
        LAMPORTS_PER_SOL,
        &[],
    );
    let signed = chain
        .sign(Version::Legacy, &wallet, &[], &[too_much])
        .await
        .expect("signed");
    let refused = chain.send_and_confirm(&signed, Commitment::Confirmed).await;
    assert!(matches!(refused, Err(ChainError::Rpc(_))), "{refused:?}");
    chain
        .rpc()
        .send(&signed.bytes, true)
        .await
        .expect("taken without a look");
    let failed = chain
        .confirm(&signed.signature(), Commitment::Confirmed)
        .await;
    assert!(
        matches!(failed, Err(ChainError::Failed { .. })),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_node_that_is_no_node_is_told() {
    let location = Location::External {
        rpc_url: "nonsense".to_owned(),
        ws_url: "nonsense".to_owned(),
    };
    let error = Chain::at(&location, "seed", SLOT, None).await.err();
    let message = error.expect("nobody there").to_string();
    assert!(message.contains("unset SOLANA_RPC_URL"), "{message}");
}
