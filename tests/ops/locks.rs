//! `POST /ops/v1/users/{id}/lock` and `/unlock`.

use serde_json::{Value, json};
use stack::Deployment;
use uuid::Uuid;

use crate::support::{
    STARTER, assert_refused, books, finish, invoice, of_user, post, start, user_with,
};

async fn set(deployment: &Deployment, user: Uuid, what: &str) -> Value {
    let answer = post(deployment, &of_user(user, what)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn a_locked_balance_pays_nothing_until_it_is_unlocked() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER).await;
    let other = user_with(&deployment, STARTER).await;
    let user = console.user_id();
    let id = invoice(&console).await;

    let locked = set(&deployment, user, "lock").await;
    let since = locked["locked_at"].as_i64().expect("Unix seconds");
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    assert!((now - since).abs() < 60, "{since}");
    assert_eq!(
        locked,
        json!({"user_id": user, "locked": true, "locked_at": since})
    );
    let balance = console.balance().await.expect("an answer").body;
    assert_eq!(
        (&balance["locked"], &balance["locked_at"]),
        (&json!(true), &json!(since))
    );

    // Locking again keeps the first time, to the microsecond.
    let before = books(deployment.pool()).await;
    assert_eq!(set(&deployment, user, "lock").await, locked);
    assert_eq!(books(deployment.pool()).await, before);

    let refused = console.pay(&id).await.expect("an answer");
    assert_refused(&refused, 409, "balance_locked", "paying");
    assert_eq!(books(deployment.pool()).await, before);
    let paid = other.pay(&invoice(&other).await).await.expect("an answer");
    assert_eq!(paid.status, 200, "{}", paid.text);

    for _ in 0..2 {
        let free = set(&deployment, user, "unlock").await;
        assert_eq!(free, json!({"user_id": user, "locked": false}));
    }
    let paid = console.pay(&id).await.expect("an answer");
    assert_eq!(
        (paid.status, &paid.body["new_balance_micro"]),
        (200, &json!(0))
    );
    finish(deployment).await;
}

#[tokio::test]
async fn only_known_users_can_be_locked() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let before = books(deployment.pool()).await;
    let unknown = Uuid::from_u128(7).to_string();
    for id in [unknown.as_str(), "nonsense", "%00", "%ff"] {
        for what in ["lock", "unlock"] {
            let answer = post(&deployment, &format!("/ops/v1/users/{id}/{what}")).await;
            assert_refused(&answer, 404, "user not found", &format!("{what} {id}"));
        }
    }
    assert_eq!(books(deployment.pool()).await, before);
    finish(deployment).await;
}
