//! The local chain itself: its block times are those of the wall clock, and on the one of `make up` a person has time to
//! sign.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use stack::Deployment;
use stack::chain::server::{SLOT, SLOT_FOR_PEOPLE};
use stack::chain::{Chain, ChainServer, Commitment, Location, Rpc};
use stack::settings::ChainSettings;

use crate::scene::{invoice, purchase, until};

/// What a machine that is kept busy may be late by.
const LATE_MS: i64 = 1_000;
const FROZEN: Duration = Duration::from_secs(4);

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// How far the newest block of a commitment, if there is one yet, is behind the wall clock at least: times are told in
/// whole seconds.
async fn behind_ms(rpc: &Rpc, commitment: Commitment) -> Option<i64> {
    let slot = rpc.slot(commitment).await.unwrap();
    let time: Option<i64> = rpc.call("getBlockTime", json!([slot])).await.unwrap();
    time.map(|time| now_ms() - time * 1_000 - 999)
}

#[tokio::test]
async fn block_times_keep_up_with_the_wall_clock() {
    let server = ChainServer::start(SLOT, None).await.unwrap();
    let rpc = Rpc::new(&server.rpc_url()).unwrap();
    let busy = Arc::new(AtomicBool::new(true));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let busy = Arc::clone(&busy);
            std::thread::spawn(move || {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let keeps_up = async || {
        let finality_ms = i64::try_from(SLOT.as_millis()).unwrap() * 31;
        let newest = behind_ms(&rpc, Commitment::Processed).await?;
        let last_final = behind_ms(&rpc, Commitment::Finalized).await? - finality_ms;
        let true_enough = |late: i64| (-1_100..LATE_MS).contains(&late);
        (true_enough(newest) && true_enough(last_final)).then_some(())
    };
    for _ in 0..20 {
        until("block times are true", keeps_up).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What it misses it makes up for.
    server.pause().await.unwrap();
    tokio::time::sleep(FROZEN).await;
    server.resume().unwrap();
    until("block times are true again", keeps_up).await;
    busy.store(false, Ordering::Relaxed);
    for thread in load {
        thread.join().unwrap();
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn on_the_chain_of_make_up_a_person_has_a_minute_to_sign() {
    let chain = Chain::at(&Location::Local, "for people", SLOT_FOR_PEOPLE, None);
    let chain = chain.await.unwrap();
    let beacon = solana_pubkey::Pubkey::new_unique().to_string();
    let settings = ChainSettings::of(&chain, beacon.clone());
    let deployment = Deployment::builder()
        .watchers(1)
        .env("SOLANA_RPC_URL", settings.rpc_url)
        .env("SOLANA_WS_URL", settings.ws_url)
        .env("QUITTANCE_USDC_MINT", settings.usdc_mint)
        .env("QUITTANCE_USDT_MINT", settings.usdt_mint)
        .env("QUITTANCE_SOLANA_BEACON_KEY", beacon)
        .env(
            "QUITTANCE_SOLANA_DEPOSIT_ADDRESS",
            chain.deposit_address().to_string(),
        )
        .start()
        .await
        .unwrap();
    let console = deployment.user().await.unwrap();
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-inapp")).await;
    let wallet = stack::chain::Wallet::random().address().to_string();
    // The api measures for some seconds how long blocks take.
    until("a minute is left", async || {
        let built = console.build_inapp_tx(&asked.id, &wallet).await.unwrap();
        assert_eq!(built.status, 200, "{}", built.text);
        let until = built.body["blockhash_valid_until"].as_str().unwrap();
        let until =
            time::OffsetDateTime::parse(until, &time::format_description::well_known::Rfc3339);
        let left = until.unwrap() - time::OffsetDateTime::now_utc();
        (left >= time::Duration::MINUTE).then_some(())
    })
    .await;
    deployment.finish().await.unwrap();
}
