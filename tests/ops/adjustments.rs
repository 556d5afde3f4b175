//! `POST /ops/v1/users/{id}/adjustments`.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use stack::{Answer, Deployment};
use uuid::Uuid;

use crate::support::{
    assert_refused, books, fields, finish, get, of_user, ops, start, user, user_with,
};

async fn adjust(deployment: &Deployment, user: Uuid, body: Value) -> Answer {
    ops(
        deployment,
        Method::POST,
        &of_user(user, "adjustments"),
        body,
    )
    .await
}

fn body(delta_micro: i64, key: &str) -> Value {
    json!({"delta_micro": delta_micro, "reason": "a test", "idempotency_key": key})
}

/// An adjustment that must succeed: its entry and the balance after it.
async fn adjusted(deployment: &Deployment, user: Uuid, body: Value) -> (i64, i64) {
    let answer = adjust(deployment, user, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(fields(&answer.body), ["entry_id", "new_balance_micro"]);
    let number = |field: &str| answer.body[field].as_i64().expect("a number");
    (number("entry_id"), number("new_balance_micro"))
}

#[tokio::test]
async fn an_adjustment_moves_the_balance_once_per_key() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let other = user(&deployment).await;
    let user = console.user_id();
    let (first, balance) = adjusted(&deployment, user, body(100, "a")).await;
    assert_eq!(balance, 100);
    let (second, balance) = adjusted(&deployment, user, body(-30, "b")).await;
    assert_eq!(balance, 70);
    assert!(second > first);
    let before = books(deployment.pool()).await;
    // A replay gets its first answer, whatever has happened since.
    assert_eq!(
        adjusted(&deployment, user, body(100, "a")).await,
        (first, 100)
    );
    assert_eq!(
        adjusted(&deployment, user, body(-30, "b")).await,
        (second, 70)
    );
    assert_eq!(books(deployment.pool()).await, before);

    // Keys are a user's own, and compared to the letter.
    assert_eq!(
        adjusted(&deployment, other.user_id(), body(5, "a")).await.1,
        5
    );
    assert_eq!(adjusted(&deployment, user, body(1, "A")).await.1, 71);
    let (last, balance) = adjusted(&deployment, user, body(-71, "to zero")).await;
    assert_eq!(balance, 0);
    let entries = console.entries("").await.expect("an answer").body;
    assert_eq!(entries["entries"][0]["id"], last);
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(4));
    finish(deployment).await;
}

#[tokio::test]
async fn its_event_carries_the_trace_of_the_call() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let user = user(&deployment).await.user_id();
    let answer = adjust(&deployment, user, body(5, "a")).await;
    let events: Vec<(String, String)> =
        sqlx::query_as("select topic, message ->> 'trace_id' from outbox")
            .fetch_all(deployment.pool())
            .await
            .expect("the events");
    let trace = answer.headers["x-request-id"].to_str().expect("text");
    assert_eq!(events, [(format!("balance:{user}"), trace.to_owned())]);
    finish(deployment).await;
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let rich = user_with(&deployment, 9_007_199_254_740_000).await;
    let console = user(&deployment).await;
    let user = console.user_id();
    adjusted(&deployment, user, body(100, "a")).await;
    let before = books(deployment.pool()).await;

    let other_reason = json!({"delta_micro": 100, "reason": "another", "idempotency_key": "a"});
    let conflicts = [
        (user, body(101, "a"), "idempotency_conflict"),
        (user, body(-100, "a"), "idempotency_conflict"),
        (user, other_reason, "idempotency_conflict"),
        (user, body(-101, "b"), "insufficient_balance"),
        (
            user,
            body(-9_007_199_254_740_991, "b"),
            "insufficient_balance",
        ),
        (rich.user_id(), body(992, "b"), "balance_too_large"),
    ];
    for (user, body, error) in conflicts {
        let what = body.to_string();
        assert_refused(&adjust(&deployment, user, body).await, 409, error, &what);
    }
    let unknown = Uuid::from_u128(7).to_string();
    for id in [unknown.as_str(), "nonsense", "%00", "%ff"] {
        let path = format!("/ops/v1/users/{id}/adjustments");
        let answer = ops(&deployment, Method::POST, &path, body(5, "b")).await;
        assert_refused(&answer, 404, "user not found", id);
    }
    assert_eq!(books(deployment.pool()).await, before);
    // A refused key is still free.
    assert_eq!(adjusted(&deployment, user, body(-100, "b")).await.1, 0);
    assert_eq!(
        adjusted(&deployment, rich.user_id(), body(991, "b"))
            .await
            .1,
        9_007_199_254_740_991
    );
    finish(deployment).await;
}

#[tokio::test]
async fn every_field_is_checked() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let user = user(&deployment).await.user_id();
    let before = books(deployment.pool()).await;
    let mut rows = Vec::new();
    for delta in [
        0,
        9_007_199_254_740_992,
        -9_007_199_254_740_992,
        i64::MAX,
        i64::MIN,
    ] {
        rows.push((json!({"delta_micro": delta}), "bad delta_micro"));
    }
    for text in [
        "",
        " ",
        "\t\n",
        "a\u{0}",
        &"x".repeat(501),
        &"ä".repeat(501),
    ] {
        rows.push((json!({"reason": text}), "bad reason"));
    }
    for text in ["", " ", "\u{0}", &"x".repeat(129), &"😀".repeat(129)] {
        rows.push((json!({"idempotency_key": text}), "bad idempotency_key"));
    }
    for (field, error) in rows {
        let mut body = body(5, "a");
        for (name, value) in field.as_object().expect("one field") {
            body[name.as_str()] = value.clone();
        }
        let what = body.to_string();
        assert_refused(&adjust(&deployment, user, body).await, 400, error, &what);
    }
    let mistyped = [
        json!({}),
        json!([]),
        json!({"delta_micro": 5}),
        json!({"delta_micro": 5, "reason": "r"}),
        json!({"delta_micro": 5.0, "reason": "r", "idempotency_key": "k"}),
        json!({"delta_micro": "5", "reason": "r", "idempotency_key": "k"}),
        json!({"delta_micro": 18_446_744_073_709_551_615_u64, "reason": "r", "idempotency_key": "k"}),
        json!({"delta_micro": null, "reason": "r", "idempotency_key": "k"}),
        json!({"delta_micro": 5, "reason": null, "idempotency_key": "k"}),
        json!({"delta_micro": 5, "reason": "r", "idempotency_key": 5}),
    ];
    for body in mistyped {
        let what = body.to_string();
        let answer = adjust(&deployment, user, body).await;
        let detail = answer
            .error()
            .strip_prefix("bad json: ")
            .unwrap_or_default();
        assert!(!detail.is_empty(), "{what}: {}", answer.text);
        assert_refused(&answer, 400, answer.error(), &what);
    }
    assert_eq!(books(deployment.pool()).await, before);

    // The longest texts, and unknown fields.
    let longest = json!({
        "delta_micro": 5, "reason": "ä".repeat(500), "idempotency_key": "😀".repeat(128),
        "user_id": Uuid::nil(), "new_balance_micro": 7,
    });
    assert_eq!(adjusted(&deployment, user, longest).await.1, 5);
    finish(deployment).await;
}

#[tokio::test]
async fn a_list_of_values_is_no_object() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let user = user(&deployment).await.user_id();
    let before = books(deployment.pool()).await;
    let answer = adjust(&deployment, user, json!([5, "a test", "a"])).await;
    assert!(answer.error().starts_with("bad json: "), "{}", answer.text);
    assert_refused(&answer, 400, answer.error(), "a list");
    assert_eq!(books(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn many_at_once_are_posted_once_each_and_never_below_zero() {
    let deployment = start(Deployment::builder().apis(2).workers(0)).await;
    let console = user_with(&deployment, 10).await;
    let user = console.user_id();
    let path = of_user(user, "adjustments");
    let at_once = async |bodies: Vec<Value>| -> Vec<Answer> {
        let calls = bodies.iter().enumerate().map(|(number, body)| {
            let operator = deployment.operator().at(deployment.api(number % 2).url());
            let path = &path;
            async move {
                operator
                    .raw(Method::POST, path, Some(body))
                    .await
                    .expect("an answer")
            }
        });
        join_all(calls).await
    };
    let same = at_once((0..20).map(|_| body(5, "same")).collect()).await;
    assert!(same.iter().all(|answer| answer.status == 200), "{same:?}");
    assert!(
        same.iter().all(|answer| answer.body == same[0].body),
        "{same:?}"
    );
    assert_eq!(same[0].body["new_balance_micro"], 15);

    let debits = at_once(
        (0..20)
            .map(|number| body(-2, &number.to_string()))
            .collect(),
    )
    .await;
    let posted: Vec<&Answer> = debits
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(posted.len(), 7, "{debits:?}");
    for refused in debits.iter().filter(|answer| answer.status != 200) {
        assert_refused(refused, 409, "insufficient_balance", "too many");
    }
    let balance = console.balance().await.expect("an answer").body;
    assert_eq!(balance["amount_micro"], 1);
    let audit = get(&deployment, "/ops/v1/audit").await.body;
    assert_eq!(audit["ok"], true, "{audit}");
    finish(deployment).await;
}
