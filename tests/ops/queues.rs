//! `GET /ops/v1/queues`.

use serde_json::{Value, json};
use stack::Deployment;

use crate::support::{STARTER, fields, finish, get, invoice, post, start, until, user_with};

async fn pay_queue(deployment: &Deployment) -> Value {
    let answer = get(deployment, "/ops/v1/queues").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(fields(&answer.body), ["queues"]);
    let queues = answer.body["queues"].as_array().expect("a list");
    let names: Vec<&Value> = queues.iter().map(|queue| &queue["queue"]).collect();
    assert_eq!(names, ["pay", "relay"]);
    queues[0].clone()
}

#[tokio::test]
async fn a_queue_shows_what_waits_and_what_was_done() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER).await;
    let quiet = json!({
        "queue": "pay", "depth": 0, "in_flight": 0, "oldest_age_ms": null,
        "enqueued_per_second": 0.0, "succeeded_per_second": 0.0, "failed_per_second": 0.0,
        "parked": 0, "paused": false,
    });
    assert_eq!(pay_queue(&deployment).await, quiet);

    let id = invoice(&console).await;
    assert_eq!(console.pay(&id).await.expect("an answer").status, 200);
    // Rates are those of past time spans of ten seconds: both a payment's counters get there.
    let counted = async || {
        let queue = pay_queue(&deployment).await;
        assert_eq!(
            (&queue["depth"], &queue["failed_per_second"]),
            (&json!(0), &json!(0.0))
        );
        let rates = [
            &queue["enqueued_per_second"],
            &queue["succeeded_per_second"],
        ];
        rates
            .iter()
            .all(|rate| **rate == json!(1.0 / 60.0))
            .then_some(())
    };
    until("the payment is counted", counted).await;
    finish(deployment).await;
}

#[tokio::test]
async fn jobs_that_nobody_takes_are_seen_to_wait() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "300")
        .env("QUITTANCE_PAY_RESEND_MS", "299");
    let mut deployment = start(builder).await;
    let console = user_with(&deployment, STARTER).await;
    let id = invoice(&console).await;
    let answer = console.pay(&id).await.expect("an answer");
    assert_eq!((answer.status, answer.error()), (503, "settlement_pending"));
    let waiting = until("the job waits, and grows old", async || {
        let queue = pay_queue(&deployment).await;
        let at_least = |field: &str, least| queue[field].as_i64().is_some_and(|now| now >= least);
        (at_least("depth", 1) && at_least("oldest_age_ms", 250)).then_some(queue)
    })
    .await;
    assert_eq!(waiting["in_flight"], 0);
    let paused = post(&deployment, "/ops/v1/queues/pay/pause").await;
    assert_eq!(paused.status, 200);
    let paused = pay_queue(&deployment).await;
    assert_eq!(
        (&paused["paused"], &paused["depth"]),
        (&json!(true), &waiting["depth"])
    );
    let resumed = post(&deployment, "/ops/v1/queues/pay/resume").await;
    assert_eq!(resumed.status, 200);

    deployment.start_worker().await.expect("a worker");
    until("the queue is empty", async || {
        let queue = pay_queue(&deployment).await;
        (queue["depth"] == 0 && queue["in_flight"] == 0).then_some(())
    })
    .await;
    // Its caller had given up, so the job was dropped; asking again settles.
    let read = console.get_invoice(&id).await.expect("an answer").body;
    assert_eq!(read["status"], "pending");
    until("asking again settles", async || {
        let answer = console.pay(&id).await.expect("an answer");
        (answer.status == 200).then_some(())
    })
    .await;
    until("nothing is left of it", async || {
        (pay_queue(&deployment).await["oldest_age_ms"] == Value::Null).then_some(())
    })
    .await;
    finish(deployment).await;
}
