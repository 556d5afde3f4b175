//! `POST /ops/v1/users`.

use serde_json::{Value, json};
use stack::Deployment;
use uuid::Uuid;

use crate::support::{fields, finish, ops, start};

#[tokio::test]
async fn a_new_user_has_an_id_and_an_empty_balance() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let mut users = Vec::new();
    for body in [
        Value::Null,
        json!({}),
        json!({"user_id": Uuid::nil(), "amount_micro": 5}),
    ] {
        let answer = ops(&deployment, reqwest::Method::POST, "/ops/v1/users", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(fields(&answer.body), ["user_id"]);
        let id = answer.body["user_id"].as_str().expect("a text");
        users.push(id.parse::<Uuid>().expect("a UUID"));
    }
    let empty: Vec<Uuid> = sqlx::query_scalar(
        "select id from users join balances on user_id = id
         where amount_micro = 0 and last_transfer_id = 0 and locked_at is null
         order by users.created_at",
    )
    .fetch_all(deployment.pool())
    .await
    .expect("the users");
    assert_eq!(empty, users);
    assert!(!users.contains(&Uuid::nil()), "{users:?}");
    finish(deployment).await;
}
