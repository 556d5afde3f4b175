//! The queue, seen from beside it.

use std::time::Duration;

use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamPendingCountReply;
use reqwest::Method;
use serde_json::Value;
use stack::Deployment;

use super::wait::eventually;

/// The stream of payments.
pub fn stream(deployment: &Deployment) -> String {
    format!("{{{}:pay}}:jobs", deployment.settings().redis_prefix)
}

/// How many jobs the queue holds, waiting and in flight.
pub async fn length(redis: &mut MultiplexedConnection, stream: &str) -> u64 {
    redis::cmd("XLEN")
        .arg(stream)
        .query_async(redis)
        .await
        .unwrap()
}

/// Waits until the queue holds nothing.
pub async fn until_empty(deployment: &Deployment, limit: Duration) {
    let (mut redis, stream) = (deployment.redis().await.unwrap(), stream(deployment));
    eventually("the queue is empty", limit, async || {
        (length(&mut redis, &stream).await == 0).then_some(())
    })
    .await;
}

/// Waits until the queue holds this many jobs or more.
pub async fn until_holds(deployment: &Deployment, jobs: u64) {
    let (mut redis, stream) = (deployment.redis().await.unwrap(), stream(deployment));
    eventually(
        "jobs wait in the queue",
        Duration::from_secs(10),
        async || (length(&mut redis, &stream).await >= jobs).then_some(()),
    )
    .await;
}

/// Appends an entry with this field, whatever it holds; returns its id.
pub async fn append(deployment: &Deployment, field: &[u8], value: &[u8]) -> String {
    let mut redis = deployment.redis().await.unwrap();
    redis::cmd("XADD")
        .arg(stream(deployment))
        .arg("*")
        .arg(field)
        .arg(value)
        .query_async(&mut redis)
        .await
        .unwrap()
}

/// Takes one waiting job as a worker that then falls silent would. False when none waits.
pub async fn take_and_fall_silent(deployment: &Deployment) -> bool {
    let (mut redis, stream) = (deployment.redis().await.unwrap(), stream(deployment));
    let taken: redis::Value = redis::cmd("XREADGROUP")
        .arg(
            [
                "GROUP", "workers", "silent", "COUNT", "1", "STREAMS", &stream, ">",
            ]
            .as_slice(),
        )
        .query_async(&mut redis)
        .await
        .unwrap();
    taken != redis::Value::Nil
}

/// Entries that some worker holds.
pub async fn pending(deployment: &Deployment) -> StreamPendingCountReply {
    let mut redis = deployment.redis().await.unwrap();
    redis::cmd("XPENDING")
        .arg([stream(deployment).as_str(), "workers", "-", "+", "1000"].as_slice())
        .query_async(&mut redis)
        .await
        .unwrap()
}

/// Pauses or resumes the queue.
pub async fn set_paused(deployment: &Deployment, paused: bool) {
    let verb = if paused { "pause" } else { "resume" };
    let path = format!("/ops/v1/queues/pay/{verb}");
    let answer = deployment
        .operator()
        .raw(Method::POST, &path, None)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &answer.body["paused"]),
        (200, &Value::Bool(paused)),
        "{answer:?}"
    );
}

/// A job that changes nothing: its invoice does not exist.
const PROBE: &[u8] = br#"{"v":1,"id":0,"reply_to":"nobody","trace_id":"00000000000000000000000000000001","job":{"invoice_id":"inv_0000000000000000","user_id":"00000000-0000-4000-8000-000000000000"}}"#;
/// Many times what a worker with nothing else to do takes to notice a job.
const UNNOTICED: Duration = Duration::from_millis(700);

/// Pauses the queue and waits until no worker reads it any more: a job that changes nothing is left alone.
pub async fn pause(deployment: &Deployment) {
    set_paused(deployment, true).await;
    let (mut redis, stream) = (deployment.redis().await.unwrap(), stream(deployment));
    let limit = Duration::from_secs(20);
    let told = deployment.until_workers_say("queue pay paused", limit);
    told.await.unwrap();
    // What they were reading meanwhile comes to its end.
    eventually("no worker reads the queue", limit, async || {
        let probe = append(deployment, b"p", PROBE).await;
        tokio::time::sleep(UNNOTICED).await;
        let held = pending(deployment).await.ids;
        let removed: u64 = redis.xdel(&stream, &[&probe]).await.unwrap();
        (removed == 1 && held.is_empty()).then_some(())
    })
    .await;
}

/// The jobs parked now.
pub async fn parked(deployment: &Deployment) -> Vec<Value> {
    let answer = deployment
        .operator()
        .raw(Method::GET, "/ops/v1/parked", None)
        .await
        .unwrap();
    let list: Value = answer.parse(200, "list parked jobs").unwrap();
    list["parked"].as_array().unwrap().clone()
}

/// Waits until this many jobs are parked, and returns them.
pub async fn until_parked(deployment: &Deployment, jobs: usize) -> Vec<Value> {
    eventually("jobs are parked", Duration::from_secs(20), async || {
        let parked = parked(deployment).await;
        (parked.len() >= jobs).then_some(parked)
    })
    .await
}

/// Retries or discards a parked job.
pub async fn resolve(deployment: &Deployment, job: &Value, verb: &str) {
    let path = format!("/ops/v1/parked/{}/{verb}", job["id"]);
    let answer = deployment
        .operator()
        .raw(Method::POST, &path, None)
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
}
