//! When blocks were produced.

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::scene::Scene;

fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[tokio::test]
async fn blocks_are_dated_by_the_wall_clock_however_many_come_at_once() {
    let before = wall_clock();
    let scene = Scene::new().await;
    scene.chain.advance(10_000);
    let after = wall_clock();
    for slot in [1_000, 1_001, 6_000, 11_000] {
        let time = scene.chain.block_time(slot).unwrap();
        assert!((before..=after).contains(&time), "{slot}: {time}");
    }
    let earlier = scene.chain.block_time(900).unwrap();
    assert_eq!(scene.chain.block_time(1_000).unwrap() - earlier, 50);
}

#[tokio::test]
async fn the_test_may_set_the_clock_and_what_nodes_say() {
    let scene = Scene::new().await;
    scene.chain.set_clock(Some(1_000_000));
    scene.chain.advance(1);
    let signature = scene.chain.land(scene.payment(1));
    scene.chain.set_clock(Some(1_000_060));
    scene.chain.advance(40);
    assert_eq!(scene.chain.now(), 1_000_060);
    let options = json!({ "encoding": "base64", "commitment": "confirmed" });
    let asked = json!([signature.to_string(), options]);
    let landed = async || scene.call("getTransaction", asked.clone()).await.unwrap();
    let row = async || {
        let params = json!([scene.merchant.to_string()]);
        let rows = scene.call("getSignaturesForAddress", params).await;
        rows.unwrap()[0]["blockTime"].clone()
    };
    assert_eq!(landed().await["blockTime"], 1_000_000);
    assert_eq!(row().await, 1_000_000);
    assert_eq!(scene.chain.block_time(1_002), Some(1_000_060));
    scene.chain.set_block_time(1_001, Some(7));
    assert_eq!(
        (landed().await["blockTime"].clone(), row().await),
        (json!(7), json!(7))
    );
    scene.chain.set_block_time(1_001, None);
    assert_eq!(
        (landed().await["blockTime"].clone(), row().await),
        (Value::Null, Value::Null)
    );
    scene.chain.set_clock(None);
    scene.chain.advance(1);
    assert!(scene.chain.block_time(scene.chain.slot()) >= Some(wall_clock() - 10));
}

#[tokio::test]
async fn block_times_are_asked_for_by_slot() {
    let scene = Scene::new().await;
    scene.chain.set_clock(Some(1_000_000));
    scene.chain.advance(3);
    scene.chain.skip(1);
    scene.chain.advance(2);
    let ask = async |slot: u64| scene.call("getBlockTime", json!([slot])).await;
    assert_eq!(ask(1_002).await.unwrap(), json!(1_000_000));
    let code = async |slot: u64| ask(slot).await.unwrap_err().code;
    assert_eq!(code(1_004).await, -32_007);
    assert_eq!(code(1_006).await, -32_004);
    scene.node.look(|view| view.history_from = 1_002);
    assert_eq!(code(1_001).await, -32_001);
    scene.node.look(|view| view.is_timeless = true);
    assert_eq!(ask(1_002).await.unwrap(), Value::Null);
}
