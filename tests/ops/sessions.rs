//! `POST` and `DELETE /ops/v1/users/{id}/sessions`.

use reqwest::Method;
use serde_json::{Value, json};
use stack::{Console, Deployment, SessionTokens};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::support::{
    assert_refused, books, fields, finish, of_user, ops, post, start, time_of, until,
};

async fn revoke(deployment: &Deployment, user: Uuid) -> Value {
    let answer = ops(
        deployment,
        Method::DELETE,
        &of_user(user, "sessions"),
        Value::Null,
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

async fn count(deployment: &Deployment, user: Uuid) -> i64 {
    sqlx::query_scalar("select count(*) from sessions where user_id = $1")
        .bind(user)
        .fetch_one(deployment.pool())
        .await
        .expect("a count")
}

#[tokio::test]
async fn a_session_is_two_tokens_and_an_end() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let user = deployment.operator().create_user().await.expect("a user");
    let answer = post(&deployment, &of_user(user, "sessions")).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(fields(&answer.body), ["csrf", "expires_at", "session"]);
    let left = time_of(&answer.body, "expires_at") - OffsetDateTime::now_utc();
    let off = (left - time::Duration::days(30)).abs();
    assert!(off < time::Duration::minutes(1), "{left}");
    let tokens: SessionTokens = serde_json::from_value(answer.body).expect("tokens");
    let url = deployment.api(0).url();
    let console = Console::new(url, user, tokens).expect("a client");
    let balance = console.balance().await.expect("an answer");
    assert_eq!(
        (balance.status, &balance.body["amount_micro"]),
        (200, &json!(0))
    );
    finish(deployment).await;
}

#[tokio::test]
async fn the_lifetime_is_a_setting() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_SESSION_TTL_DAYS", "2");
    let deployment = start(builder).await;
    let user = deployment.operator().create_user().await.expect("a user");
    let answer = post(&deployment, &of_user(user, "sessions")).await;
    let left = time_of(&answer.body, "expires_at") - OffsetDateTime::now_utc();
    assert!(
        (left - time::Duration::days(2)).abs() < time::Duration::minutes(1),
        "{left}"
    );
    finish(deployment).await;
}

#[tokio::test]
async fn revoking_ends_all_sessions_of_one_user() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let first = deployment.user().await.expect("a user");
    let other = deployment.user().await.expect("a user");
    let user = first.user_id();
    let tokens = deployment
        .operator()
        .create_session(user)
        .await
        .expect("a session");
    let second = Console::new(deployment.api(0).url(), user, tokens).expect("a client");
    for console in [&first, &second, &other] {
        assert_eq!(console.balance().await.expect("an answer").status, 200);
    }
    assert_eq!(revoke(&deployment, user).await, json!({"revoked": 2}));
    assert_eq!(
        (
            count(&deployment, user).await,
            count(&deployment, other.user_id()).await
        ),
        (0, 1)
    );
    for console in [&first, &second] {
        until("the session ends", async || {
            (console.balance().await.expect("an answer").status == 401).then_some(())
        })
        .await;
    }
    assert_eq!(other.balance().await.expect("an answer").status, 200);
    assert_eq!(revoke(&deployment, user).await, json!({"revoked": 0}));
    finish(deployment).await;
}

#[tokio::test]
async fn only_known_users_get_sessions() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let before = books(deployment.pool()).await;
    let unknown = Uuid::from_u128(7).to_string();
    for user in [
        unknown.as_str(),
        "nonsense",
        "1",
        "%00",
        "%ff",
        "'%20or%201=1--",
    ] {
        let path = format!("/ops/v1/users/{user}/sessions");
        assert_refused(&post(&deployment, &path).await, 404, "user not found", user);
    }
    for user in ["nonsense", "1", "%00", "%ff"] {
        let path = format!("/ops/v1/users/{user}/sessions");
        let answer = ops(&deployment, Method::DELETE, &path, Value::Null).await;
        assert_refused(&answer, 404, "user not found", user);
    }
    assert_eq!(books(deployment.pool()).await, before);
    finish(deployment).await;
}
