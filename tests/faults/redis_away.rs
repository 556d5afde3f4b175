//! Redis forgets everything, dies, or freezes. It carries hints only, so nothing may be lost but a little time.

use std::time::Duration;

use stack::Deployment;
use stack::deployment::Builder;
use tokio::time::{Instant, sleep, timeout};

use crate::support::client::{Connections, Heard, judge};
use crate::support::database::{
    close_gate, open_gate, slow_settlement, until_published, until_settling,
};
use crate::support::queue::until_empty;
use crate::support::storm::Storm;
use crate::support::truth::{check_all_paid, standing};
use crate::support::wait::{eventually, turn_to_kill_servers};
use crate::support::world::{Debtor, quick};

async fn with_own_redis(builder: Builder) -> Deployment {
    builder
        .apis(2)
        .workers(2)
        .private_redis()
        .start()
        .await
        .unwrap()
}

async fn flush(deployment: &Deployment) {
    let mut redis = deployment.redis().await.unwrap();
    let flushed: String = redis::cmd("FLUSHALL")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(flushed, "OK");
}

#[tokio::test]
async fn flushing_redis_again_and_again_under_load_loses_nothing() {
    let deployment = with_own_redis(quick()).await;
    let debtors = Debtor::create_many(&deployment, 20, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(3)).await;
    let storm = Storm::start(&deployment, &debtors, 48, Connections::Hold);
    for percent in (5..90).step_by(10) {
        storm.until(percent).await;
        flush(&deployment).await;
    }
    storm.assert_under_way();
    let settled = storm.end().await;
    for one in &settled {
        assert_eq!(
            one.retries, [""; 0],
            "a flush costs a second, not a 503: {one:?}"
        );
    }
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    until_published(deployment.pool(), Duration::from_secs(10)).await;
    until_empty(&deployment, Duration::from_secs(5)).await;
    deployment.finish().await.unwrap();
}

async fn set_memory(deployment: &Deployment, limit: &str) {
    let mut redis = deployment.redis().await.unwrap();
    let set: String = redis::cmd("CONFIG")
        .arg(["SET", "maxmemory", limit].as_slice())
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(set, "OK");
}

#[tokio::test]
async fn a_redis_without_memory_delays_and_loses_nothing() {
    let deployment = with_own_redis(quick()).await;
    let debtors = Debtor::create_many(&deployment, 10, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(3)).await;
    let storm = Storm::start(&deployment, &debtors, 32, Connections::Hold);
    storm.until(20).await;
    // Every command that takes memory is refused from here on, so the calls that are open run dry.
    set_memory(&deployment, "1").await;
    let mut answered = storm.answered();
    eventually(
        "nothing is enqueued any more",
        Duration::from_secs(10),
        async || {
            sleep(Duration::from_millis(500)).await;
            let before = std::mem::replace(&mut answered, storm.answered());
            (before == answered).then_some(())
        },
    )
    .await;
    storm.assert_under_way();
    set_memory(&deployment, "0").await;
    let settled = storm.end().await;
    for one in &settled {
        assert_eq!(one.retries, [""; 0], "{one:?}");
    }
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    until_published(deployment.pool(), Duration::from_secs(10)).await;
    until_empty(&deployment, Duration::from_secs(5)).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn killing_redis_under_load_loses_nothing() {
    let _turn = turn_to_kill_servers().await;
    let deployment = with_own_redis(quick()).await;
    let debtors = Debtor::create_many(&deployment, 15, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(3)).await;
    let storm = Storm::start(&deployment, &debtors, 48, Connections::Hold);
    let redis = deployment.private_redis().unwrap();
    for percent in [10, 40, 70] {
        storm.until(percent).await;
        redis.kill().await.unwrap();
        storm.assert_under_way();
        redis.start_again().await.unwrap();
    }
    let settled = storm.end().await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    until_published(deployment.pool(), Duration::from_secs(10)).await;
    until_empty(&deployment, Duration::from_secs(5)).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn payments_go_on_soon_after_the_return_of_redis() {
    let _turn = turn_to_kill_servers().await;
    let builder = quick().env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "14000");
    let deployment = with_own_redis(builder).await;
    let debtors = Debtor::create_many(&deployment, 20, 1).await;
    let redis = deployment.private_redis().unwrap();
    redis.kill().await.unwrap();
    let storm = Storm::start(&deployment, &debtors, 20, Connections::Hold);
    // The length of the outage: long enough for whoever waits ever longer between attempts to be late.
    sleep(Duration::from_secs(5)).await;
    storm.assert_under_way();
    redis.start_again().await.unwrap();
    let back = Instant::now();
    let settled = timeout(Duration::from_secs(30), storm.end())
        .await
        .expect("they end");
    let late = back.elapsed();
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    for one in &settled {
        assert_eq!(one.retries, [""; 0], "{one:?}");
    }
    println!("answered {late:?} after Redis was back");
    assert!(
        late <= Duration::from_secs(8),
        "answered {late:?} after Redis was back"
    );
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn without_redis_a_call_ends_in_time_as_pending() {
    let _turn = turn_to_kill_servers().await;
    let deployment = quick()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "3000")
        .private_redis()
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 2, 1).await;
    let redis = deployment.private_redis().unwrap();
    let limit = Duration::from_secs(12);
    let pending = Heard::Again("settlement_pending".to_owned());

    redis.kill().await.unwrap();
    // Several calls, one after the other, so that each finds the api at another point of its attempts to reconnect.
    for _ in 0..4 {
        let asked = Instant::now();
        let answer = debtors[0].console.pay(debtors[0].invoice()).await.unwrap();
        assert_eq!(judge(debtors[0].invoice(), &answer), pending);
        assert!(
            asked.elapsed() < limit,
            "answered after {:?}",
            asked.elapsed()
        );
    }
    redis.start_again().await.unwrap();

    redis.pause().await.unwrap();
    let asked = Instant::now();
    let answer = debtors[1].console.pay(debtors[1].invoice()).await.unwrap();
    assert_eq!(judge(debtors[1].invoice(), &answer), pending);
    assert!(
        asked.elapsed() < limit,
        "answered after {:?}",
        asked.elapsed()
    );
    redis.resume().unwrap();

    let settled = Storm::start(&deployment, &debtors, 2, Connections::Hold)
        .end()
        .await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_payment_committed_while_redis_is_away_is_answered_and_streamed_later() {
    let _turn = turn_to_kill_servers().await;
    let builder = quick().env("QUITTANCE_DB_STATEMENT_TIMEOUT_MS", "20000");
    let deployment = with_own_redis(builder).await;
    let debtor = Debtor::create_many(&deployment, 1, 1).await.remove(0);
    let mut stream = debtor
        .console
        .invoice_stream(debtor.invoice())
        .await
        .unwrap();
    let limit = Duration::from_secs(15);
    let (kind, _) = stream.next_event(limit).await.unwrap().unwrap();
    assert_eq!(kind, "snapshot");

    close_gate(deployment.pool()).await;
    let debtors = [debtor.clone()];
    let storm = Storm::start(&deployment, &debtors, 1, Connections::Hold);
    until_settling(deployment.pool()).await;
    let redis = deployment.private_redis().unwrap();
    redis.kill().await.unwrap();
    open_gate(deployment.pool()).await;
    eventually("the payment commits", limit, async || {
        (standing(deployment.pool(), debtor.invoice()).await.0 == "paid").then_some(())
    })
    .await;
    storm.assert_under_way();
    redis.start_again().await.unwrap();

    let settled = storm.end().await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    let frames = stream.collect_until_closed(limit).await.unwrap();
    let events: Vec<&str> = frames
        .iter()
        .map(stack::Frame::name)
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(events, ["invoice_paid"]);
    until_published(deployment.pool(), limit).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn processes_stop_well_while_redis_is_away() {
    let _turn = turn_to_kill_servers().await;
    let deployment = quick().private_redis().start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 5, 1).await;
    let settled = Storm::start(&deployment, &debtors, 5, Connections::Hold)
        .end()
        .await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    crate::support::world::audit(&deployment).await;
    deployment.private_redis().unwrap().kill().await.unwrap();
    let (api, worker) = tokio::join!(
        deployment.api(0).terminate(),
        deployment.worker(0).terminate()
    );
    assert_eq!(
        (api.unwrap().code(), worker.unwrap().code()),
        (Some(0), Some(0))
    );
}
