//! `POST /ops/v1/queues/{queue}/pause` and `/resume`.

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use stack::deployment::Builder;
use stack::{Console, Deployment};

use crate::support::{
    LIMIT, STARTER, actions, assert_refused, books, finish, get, invoice, post, start, until,
    user_with,
};

/// Callers give up soon, and workers look up often.
fn hasty() -> Builder {
    Deployment::builder()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "600")
        .env("QUITTANCE_PAY_RESEND_MS", "500")
        .env("QUITTANCE_PAUSE_POLL_MS", "20")
        .env("QUITTANCE_QUEUE_BLOCK_MS", "20")
}

async fn set(deployment: &Deployment, what: &str, paused: bool) {
    let answer = post(deployment, &format!("/ops/v1/queues/pay/{what}")).await;
    let expected = json!({"queue": "pay", "paused": paused});
    assert_eq!((answer.status, answer.body), (200, expected), "{what}");
    let queues = get(deployment, "/ops/v1/queues").await.body;
    assert_eq!(queues["queues"][0]["paused"], paused, "{what}");
}

/// Pays invoices until one stays unpaid, because no worker takes jobs any more; returns that one.
async fn unpaid(deployment: &Deployment, console: &Console) -> String {
    let told = deployment.until_workers_say("queue pay paused", LIMIT);
    told.await.expect("they pause");
    until("the workers pause", async || {
        let id = invoice(console).await;
        let answer = console.pay(&id).await.expect("an answer");
        if answer.status == 200 {
            return None;
        }
        assert_refused(&answer, 503, "settlement_pending", "paused");
        assert_eq!(answer.headers[RETRY_AFTER], "1");
        Some(id)
    })
    .await
}

async fn status(console: &Console, id: &str) -> Value {
    console.get_invoice(id).await.expect("an answer").body["status"].clone()
}

/// Jobs whose callers gave up are dropped: the invoice stays unpaid until somebody asks again.
async fn assert_gets_paid(console: &Console, id: &str) {
    until("a retry is paid", async || {
        let retry = console.pay(id).await.expect("an answer");
        if retry.status == 200 {
            return Some(());
        }
        assert_refused(&retry, 503, "settlement_pending", "just resumed");
        None
    })
    .await;
    assert_eq!(status(console, id).await, "paid");
}

#[tokio::test]
async fn a_paused_queue_settles_nothing_until_it_is_resumed() {
    let deployment = start(hasty().workers(2)).await;
    let console = user_with(&deployment, 1000 * STARTER).await;
    for _ in 0..2 {
        set(&deployment, "pause", true).await;
    }
    let id = unpaid(&deployment, &console).await;
    let before = books(deployment.pool()).await;
    let again = console.pay(&id).await.expect("an answer");
    assert_refused(&again, 503, "settlement_pending", "still paused");
    assert_eq!(books(deployment.pool()).await, before);
    assert_eq!(status(&console, &id).await, "pending");

    for _ in 0..2 {
        set(&deployment, "resume", false).await;
    }
    assert_gets_paid(&console, &id).await;
    let entries = console.entries("").await.expect("an answer").body;
    let debits = entries["entries"].as_array().expect("a list").iter();
    assert_eq!(
        debits
            .filter(|entry| entry["ref_invoice_id"] == json!(id))
            .count(),
        1
    );
    finish(deployment).await;
}

#[tokio::test]
async fn a_worker_that_starts_while_a_queue_is_paused_takes_nothing() {
    let mut deployment = start(hasty()).await;
    let console = user_with(&deployment, 1000 * STARTER).await;
    set(&deployment, "pause", true).await;
    let id = unpaid(&deployment, &console).await;
    for _ in 0..3 {
        let number = deployment.start_worker().await.expect("one more");
        deployment
            .worker(number)
            .wait_until_ready()
            .await
            .expect("ready");
        // As long as this call waits, the new worker could take the first job, too.
        let again = console.pay(&id).await.expect("an answer");
        assert_refused(&again, 503, "settlement_pending", "a new worker");
        assert_eq!(status(&console, &id).await, "pending");
    }
    set(&deployment, "resume", false).await;
    assert_gets_paid(&console, &id).await;
    finish(deployment).await;
}

#[tokio::test]
async fn only_known_queues_can_be_paused() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let before = books(deployment.pool()).await;
    let logged = actions(&deployment).await;
    for queue in ["nonsense", "PAY", "pay%20", "%00", "%ff"] {
        for what in ["pause", "resume"] {
            let answer = post(&deployment, &format!("/ops/v1/queues/{queue}/{what}")).await;
            assert_refused(&answer, 404, "queue not found", &format!("{what} {queue}"));
        }
    }
    assert_eq!(books(deployment.pool()).await, before);
    assert!(actions(&deployment).await.ends_with(&logged));
    finish(deployment).await;
}
