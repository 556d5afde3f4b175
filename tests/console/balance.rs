//! `GET /v1/balance` (contract §2.4, §4.10).

use serde_json::{Value, json};
use stack::{Console, Deployment};

use crate::support::{Caller, assert_now, assert_refused, finish, send, start, user};

async fn balance(console: &Console) -> Value {
    let answer = console.balance().await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn a_balance_is_told_from_the_first_moment() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let (operator, id) = (deployment.operator(), console.user_id());
    let fresh = balance(&console).await;
    assert_now(&fresh["updated_at"], "a new user");
    let expected = json!({"amount_micro": 0, "locked": false, "updated_at": fresh["updated_at"]});
    assert_eq!(fresh, expected);

    operator
        .adjust(id, 9_007_199_254_740_991, "all there is", "a")
        .await
        .expect("adjusted");
    assert_eq!(
        balance(&console).await["amount_micro"],
        9_007_199_254_740_991_i64
    );
    operator
        .adjust(id, -9_007_199_254_740_990, "most of it", "b")
        .await
        .expect("adjusted");
    assert_eq!(balance(&console).await["amount_micro"], 1);

    assert_eq!(operator.lock(id).await.expect("an answer").status, 200);
    let locked = balance(&console).await;
    assert_now(&locked["locked_at"], "a locked balance");
    let expected = json!({
        "amount_micro": 1, "locked": true, "updated_at": locked["updated_at"],
        "locked_at": locked["locked_at"],
    });
    assert_eq!(locked, expected);
    assert_eq!(operator.unlock(id).await.expect("an answer").status, 200);
    let free = balance(&console).await;
    let expected = json!({"amount_micro": 1, "locked": false, "updated_at": free["updated_at"]});
    assert_eq!(free, expected);
    finish(deployment).await;
}

#[tokio::test]
async fn a_balance_needs_a_session_and_a_database() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let anonymous = send(Caller::at(deployment.api(0).url()).get("/v1/balance")).await;
    assert_refused(&anonymous, 401, "auth required", "no cookie");

    let console = user(&deployment).await;
    sqlx::query("revoke select on balances from quittance_api")
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    let broken = console.balance().await.expect("an answer");
    let detail = broken
        .error()
        .strip_prefix("internal: ")
        .unwrap_or_default();
    assert!(!detail.is_empty(), "{}", broken.text);
    assert_refused(&broken, 500, broken.error(), "a broken database");
    sqlx::query("grant select on balances to quittance_api")
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    assert_eq!(balance(&console).await["amount_micro"], 0);
    finish(deployment).await;
}
