//! `GET /ops/v1/actions`: everything that operators did, refused or not, and no secret.

use reqwest::Method;
use serde_json::{Value, json};
use stack::Deployment;
use uuid::Uuid;

use crate::support::{actions, execute, fields, finish, get, is_now, of_user, ops, start, time_of};

/// One call, and what the log must say of it.
struct Step {
    method: Method,
    path: String,
    body: Value,
    status: u16,
    action: &'static str,
    target: String,
    detail: Value,
    outcome: &'static str,
}

fn step(
    path: String,
    status: u16,
    action: &'static str,
    target: &impl ToString,
    outcome: &'static str,
) -> Step {
    let target = target.to_string();
    let (method, body, detail) = (Method::POST, Value::Null, json!({}));
    Step {
        method,
        path,
        body,
        status,
        action,
        target,
        detail,
        outcome,
    }
}

fn adjustment(user: Uuid, delta_micro: i64, key: &str, status: u16, outcome: &'static str) -> Step {
    let body = json!({"delta_micro": delta_micro, "reason": "why not", "idempotency_key": key});
    let path = of_user(user, "adjustments");
    let detail = body.clone();
    Step {
        body,
        detail,
        ..step(path, status, "balance.adjust", &user, outcome)
    }
}

fn steps(user: Uuid) -> Vec<Step> {
    let unknown = Uuid::from_u128(7);
    let queue = |what| format!("/ops/v1/queues/pay/{what}");
    vec![
        step(
            of_user(user, "sessions"),
            201,
            "session.create",
            &user,
            "done",
        ),
        step(
            of_user(user, "sessions"),
            201,
            "session.create",
            &user,
            "done",
        ),
        step(
            of_user(unknown, "sessions"),
            404,
            "session.create",
            &unknown,
            "user not found",
        ),
        Step {
            method: Method::DELETE,
            detail: json!({"revoked": 2}),
            ..step(
                of_user(user, "sessions"),
                200,
                "session.revoke",
                &user,
                "done",
            )
        },
        adjustment(user, 5, "a", 200, "done"),
        adjustment(user, 5, "a", 200, "done"),
        adjustment(user, 6, "a", 409, "idempotency_conflict"),
        adjustment(user, -6, "b", 409, "insufficient_balance"),
        adjustment(unknown, 5, "a", 404, "user not found"),
        step(of_user(user, "lock"), 200, "balance.lock", &user, "done"),
        step(
            of_user(user, "unlock"),
            200,
            "balance.unlock",
            &user,
            "done",
        ),
        step(
            of_user(unknown, "lock"),
            404,
            "balance.lock",
            &unknown,
            "user not found",
        ),
        step(
            of_user(unknown, "unlock"),
            404,
            "balance.unlock",
            &unknown,
            "user not found",
        ),
        step(queue("pause"), 200, "queue.pause", &"pay", "done"),
        step(queue("resume"), 200, "queue.resume", &"pay", "done"),
    ]
}

fn resolutions(parked: [i64; 2]) -> [Step; 2] {
    let of = [
        (parked[0], "retry", "retried"),
        (parked[1], "discard", "discarded"),
    ];
    of.map(|(id, what, resolution)| {
        let path = format!("/ops/v1/parked/{id}/{what}");
        let detail = json!({"queue": "pay", "resolution": resolution});
        Step {
            detail,
            ..step(path, 200, "parked.resolve", &id, "done")
        }
    })
}

/// Two jobs that wait for a human.
async fn park(deployment: &Deployment) -> [i64; 2] {
    execute(
        deployment.pool(),
        "insert into parked_jobs (queue, entry_id, payload, reason, deliveries)
         values ('pay', '1-1', 'garbage', 'a test', 1), ('pay', '1-2', 'garbage', 'a test', 1)",
    )
    .await;
    let ids: Vec<i64> = sqlx::query_scalar("select id from parked_jobs order by id")
        .fetch_all(deployment.pool())
        .await
        .expect("the jobs");
    ids.try_into().expect("two jobs")
}

#[tokio::test]
async fn every_action_is_logged_with_its_outcome() {
    let deployment = start(Deployment::builder().workers(0)).await;
    assert_eq!(actions(&deployment).await, Vec::<Value>::new());
    let created = crate::support::post(&deployment, "/ops/v1/users").await;
    let user = created.body["user_id"].as_str().expect("a text").to_owned();
    let first = &actions(&deployment).await[0];
    let is = (&first["action"], &first["target"], &first["outcome"]);
    assert_eq!(is, (&json!("user.create"), &json!(user), &json!("done")));

    let parked = park(&deployment).await;
    let mut count = 1;
    let steps = steps(user.parse().expect("a UUID")).into_iter();
    for step in steps.chain(resolutions(parked)) {
        let what = format!("{} {}", step.method, step.path);
        let answer = ops(&deployment, step.method, &step.path, step.body).await;
        assert_eq!(answer.status, step.status, "{what}: {}", answer.text);
        let logged = actions(&deployment).await;
        count += 1;
        assert_eq!(logged.len(), count, "{what}");
        let newest = &logged[0];
        assert!(is_now(time_of(newest, "at")), "{what}");
        assert!(newest["id"].as_i64() > logged[1]["id"].as_i64(), "{what}");
        let expected = json!({
            "id": newest["id"],
            "at": newest["at"],
            "action": step.action,
            "target": step.target,
            "detail": step.detail,
            "outcome": step.outcome,
            "trace_id": answer.headers["x-request-id"].to_str().expect("text"),
        });
        assert_eq!(newest, &expected, "{what}");
    }
    // To look is no action.
    for path in [
        "audit",
        "queues",
        "parked",
        "actions",
        "unattributed",
        "dust",
        "reconciliation",
    ] {
        assert_eq!(
            get(&deployment, &format!("/ops/v1/{path}")).await.status,
            200
        );
    }
    assert_eq!(actions(&deployment).await.len(), count);
    finish(deployment).await;
}

#[tokio::test]
async fn the_log_holds_no_secret_and_cannot_be_rewritten() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = deployment.user_with_balance(5).await.expect("a user");
    let answer = get(&deployment, "/ops/v1/actions").await;
    assert_eq!(fields(&answer.body), ["actions", "next_cursor"]);
    let rows: String =
        sqlx::query_scalar("select string_agg(to_jsonb(a)::text, ' ') from operator_actions a")
            .fetch_one(deployment.pool())
            .await
            .expect("the log");
    let tokens = console.tokens();
    for secret in [
        &tokens.session,
        &tokens.csrf,
        &deployment.settings().operator_token,
    ] {
        assert!(!answer.text.contains(secret), "{}", answer.text);
        assert!(!rows.contains(secret), "{rows}");
    }
    // Not even the superuser, unless on purpose.
    for statement in [
        "update operator_actions set outcome = 'x'",
        "delete from operator_actions",
        "truncate operator_actions",
    ] {
        let error = sqlx::raw_sql(statement)
            .execute(deployment.pool())
            .await
            .expect_err(statement);
        assert!(
            error.to_string().contains("append-only"),
            "{statement}: {error}"
        );
    }
    assert_eq!(get(&deployment, "/ops/v1/actions").await.body, answer.body);
    finish(deployment).await;
}
