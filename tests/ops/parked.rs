//! `GET /ops/v1/parked`, `POST /ops/v1/parked/{id}/retry` and `/discard`.

use serde_json::{Value, json};
use stack::{Console, Deployment};

use crate::support::{
    STARTER, assert_refused, books, execute, fields, finish, get, invoice, is_now, post, start,
    time_of, until, user_with,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Puts a job into the queue as an api process would.
async fn enqueue(deployment: &Deployment, payload: &str) {
    let mut redis = deployment.redis().await.expect("a connection");
    let stream = format!("{{{}:pay}}:jobs", deployment.settings().redis_prefix);
    let added: String = redis::cmd("XADD")
        .arg(stream)
        .arg("*")
        .arg("p")
        .arg(payload)
        .query_async(&mut redis)
        .await
        .expect("added");
    assert!(!added.is_empty());
}

fn job(console: &Console, invoice: &str) -> String {
    let job = json!({"invoice_id": invoice, "user_id": console.user_id()});
    json!({"v": 1, "id": 1, "reply_to": "nobody", "trace_id": TRACE, "job": job}).to_string()
}

async fn parked(deployment: &Deployment) -> Vec<Value> {
    let answer = get(deployment, "/ops/v1/parked").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(fields(&answer.body), ["next_cursor", "parked"]);
    answer.body["parked"].as_array().expect("a list").clone()
}

/// Waits until so many jobs are parked.
async fn until_parked(deployment: &Deployment, count: usize) -> Vec<Value> {
    until("jobs are parked", async || {
        let parked = parked(deployment).await;
        (parked.len() == count).then_some(parked)
    })
    .await
}

async fn count_in_queues(deployment: &Deployment) -> Value {
    get(deployment, "/ops/v1/queues").await.body["queues"][0]["parked"].clone()
}

async fn resolve(deployment: &Deployment, job: &Value, what: &str, resolution: &str) {
    let id = &job["id"];
    let answer = post(deployment, &format!("/ops/v1/parked/{id}/{what}")).await;
    assert_eq!(
        (answer.status, answer.body),
        (200, json!({"id": id, "resolution": resolution}))
    );
}

#[tokio::test]
async fn jobs_that_cannot_be_read_wait_for_a_human() {
    let deployment = start(Deployment::builder()).await;
    assert_eq!(parked(&deployment).await, Vec::<Value>::new());
    let payloads = ["", "garbage", "{}", "{\"v\":99}", "[1,2,3]"];
    for payload in payloads {
        enqueue(&deployment, payload).await;
    }
    let jobs = until_parked(&deployment, payloads.len()).await;
    let expected = [
        "deliveries",
        "id",
        "parked_at",
        "payload",
        "queue",
        "reason",
        "resolution",
        "resolved_at",
    ];
    for job in &jobs {
        assert_eq!(fields(job), expected);
        assert_eq!(
            (&job["queue"], &job["deliveries"]),
            (&json!("pay"), &json!(1))
        );
        assert!(
            job["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "{job}"
        );
        assert!(is_now(time_of(job, "parked_at")), "{job}");
    }
    let ids: Vec<i64> = jobs.iter().filter_map(|job| job["id"].as_i64()).collect();
    assert!(ids.is_sorted_by(|one, next| one > next), "{ids:?}");
    let mut kept: Vec<&str> = jobs
        .iter()
        .filter_map(|job| job["payload"].as_str())
        .collect();
    kept.sort_unstable();
    let mut sent = payloads;
    sent.sort_unstable();
    assert_eq!(kept, sent);
    assert_eq!(count_in_queues(&deployment).await, 5);

    // Discarded, a job is gone; retried, it comes back, because it still cannot be read.
    for job in &jobs[1..] {
        resolve(&deployment, job, "discard", "discarded").await;
    }
    assert_eq!(parked(&deployment).await, jobs[..1]);
    resolve(&deployment, &jobs[0], "retry", "retried").await;
    let again = until("the job comes back", async || {
        let parked = parked(&deployment).await;
        parked.into_iter().find(|job| job["id"] != jobs[0]["id"])
    })
    .await;
    assert_eq!(again["payload"], jobs[0]["payload"]);
    assert_eq!(count_in_queues(&deployment).await, 1);
    resolve(&deployment, &again, "discard", "discarded").await;
    assert_eq!(count_in_queues(&deployment).await, 0);
    finish(deployment).await;
}

#[tokio::test]
async fn a_retried_job_is_done_once_its_obstacle_is_gone() {
    let deployment = start(Deployment::builder()).await;
    let pool = deployment.pool();
    let console = user_with(&deployment, 2 * STARTER).await;
    let (retried, discarded) = (invoice(&console).await, invoice(&console).await);
    let obstacle = "
        create function obstacle() returns trigger language plpgsql as
            $$ begin raise exception 'an obstacle of a test'; end $$;
        create trigger obstacle before insert on transfers for each row execute function obstacle()";
    execute(pool, obstacle).await;
    let before = books(pool).await;
    enqueue(&deployment, &job(&console, &retried)).await;
    let first = until_parked(&deployment, 1).await;
    enqueue(&deployment, &job(&console, &discarded)).await;
    let mut jobs = until_parked(&deployment, 2).await;
    jobs.reverse();
    assert_eq!(jobs[0], first[0]);
    for job in &jobs {
        let reason = job["reason"].as_str().expect("a text");
        assert!(reason.contains("an obstacle of a test"), "{reason}");
    }
    let mut after = books(pool).await;
    after["parked"] = Value::Null;
    assert_eq!(after, before);
    execute(
        pool,
        "drop trigger obstacle on transfers; drop function obstacle",
    )
    .await;

    resolve(&deployment, &jobs[0], "retry", "retried").await;
    resolve(&deployment, &jobs[1], "discard", "discarded").await;
    let status = async |id: &str| {
        let read = console.get_invoice(id).await.expect("an answer").body;
        read["status"].as_str().expect("a status").to_owned()
    };
    until("the job is done", async || {
        (status(&retried).await == "paid").then_some(())
    })
    .await;
    assert_eq!(status(&discarded).await, "pending");
    assert_eq!(parked(&deployment).await, Vec::<Value>::new());
    let traces: Vec<String> = sqlx::query_scalar(
        "select message ->> 'trace_id' from outbox where topic = 'invoice:' || $1",
    )
    .bind(&retried)
    .fetch_all(pool)
    .await
    .expect("the events");
    assert_eq!(traces, [TRACE]);
    finish(deployment).await;
}

#[tokio::test]
async fn only_what_is_parked_can_be_resolved() {
    let deployment = start(Deployment::builder()).await;
    enqueue(&deployment, "garbage").await;
    let job = until_parked(&deployment, 1).await.remove(0);
    resolve(&deployment, &job, "discard", "discarded").await;
    let before = books(deployment.pool()).await;
    let resolved = job["id"].to_string();
    let ids = [resolved.as_str(), "0", "-1", "9223372036854775807"];
    for id in ids {
        for what in ["retry", "discard"] {
            let answer = post(&deployment, &format!("/ops/v1/parked/{id}/{what}")).await;
            assert_refused(
                &answer,
                404,
                "parked job not found",
                &format!("{what} {id}"),
            );
        }
    }
    assert_eq!(books(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn what_is_no_number_is_no_parked_job() {
    let deployment = start(Deployment::builder().workers(0)).await;
    for id in ["nonsense", "1.5", "9223372036854775808", "%00", "%ff"] {
        for what in ["retry", "discard"] {
            let answer = post(&deployment, &format!("/ops/v1/parked/{id}/{what}")).await;
            assert_refused(
                &answer,
                404,
                "parked job not found",
                &format!("{what} {id}"),
            );
        }
    }
    finish(deployment).await;
}
