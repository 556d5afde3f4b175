//! `POST /ops/v1/unattributed/dismiss`: many deposits at once, a bounded number with each call.

use reqwest::Method;
use serde_json::{Value, json};
use stack::{Answer, Deployment};

use crate::chain_books::{USDC, record, register};
use crate::support::{
    actions, assert_refused, books, everything, execute, finish, get, ops, start,
};

async fn dismiss(deployment: &Deployment, body: Value) -> Answer {
    let path = "/ops/v1/unattributed/dismiss";
    ops(deployment, Method::POST, path, body).await
}

async fn quiet() -> Deployment {
    let deployment = start(Deployment::builder().workers(0)).await;
    register(&deployment).await;
    deployment
}

/// 1,100 deposits of worth 1 to 1,100; each hundredth of unknown worth.
async fn many(deployment: &Deployment) {
    execute(
        deployment.pool(),
        "insert into unattributed_deposits (signature, account, units, reason, worth_micro, found_at)
         select 's ' || n, (select account from deposit_accounts where rail = 'sol-spl-usdc'), n,
                case when n > 1000 then 'ambiguous' else 'untagged' end, case when n % 100 > 0 then n end,
                '2026-01-01T00:00:00Z'::timestamptz + make_interval(mins => n)
         from generate_series(1, 1100) as n",
    )
    .await;
}

async fn open(deployment: &Deployment) -> i64 {
    sqlx::query_scalar("select count(*) from unattributed_deposits where resolved_at is null")
        .fetch_one(deployment.pool())
        .await
        .expect("a count")
}

#[tokio::test]
async fn a_filter_takes_five_hundred_at_a_time_and_nothing_else() {
    let deployment = quiet().await;
    many(&deployment).await;
    let filter = json!({"reason": "untagged", "rail": "sol-spl-usdc", "account": USDC, "worth_below_micro": 901});
    let body = json!({"filter": filter, "note": "spam"});
    let mut told = Vec::new();
    loop {
        let answer = dismiss(&deployment, body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let remaining = answer.body["remaining"].clone();
        told.push(answer.body);
        if remaining == 0 {
            break;
        }
    }
    // 900 less the nine whose worth nobody knows.
    assert_eq!(
        told,
        [
            json!({"dismissed": 500, "remaining": 391}),
            json!({"dismissed": 391, "remaining": 0})
        ]
    );
    assert_eq!(open(&deployment).await, 1100 - 891);
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from unattributed_deposits
         where (resolved_at is not null) <> (reason = 'untagged' and worth_micro is not null and worth_micro < 901)
            or resolved_at is not null and (resolution, note) <> ('dismissed', 'spam')",
    )
    .fetch_one(deployment.pool())
    .await
    .expect("a count");
    assert_eq!(wrong, 0);
    let log = actions(&deployment).await;
    assert_eq!(log.len(), 2);
    for (action, told) in log.iter().rev().zip(&told) {
        assert_eq!(action["action"], "unattributed.dismiss_many");
        assert_eq!(
            (&action["target"], &action["outcome"]),
            (&json!("filter"), &json!("done"))
        );
        let expected = json!({
            "filter": filter, "note": "spam", "dismissed": told["dismissed"], "remaining": told["remaining"],
        });
        assert_eq!(action["detail"], expected);
    }
    let early = json!({"filter": {"found_before": "2026-01-01T01:41:00Z"}, "note": "old"});
    // The hundredth is the one of the first hundred that is left.
    assert_eq!(
        dismiss(&deployment, early).await.body,
        json!({"dismissed": 1, "remaining": 0})
    );
    finish(deployment).await;
}

#[tokio::test]
async fn numbers_are_dismissed_once_whatever_else_was_asked() {
    let deployment = quiet().await;
    many(&deployment).await;
    let ids: Vec<i64> =
        sqlx::query_scalar("select id from unattributed_deposits order by id limit 500")
            .fetch_all(deployment.pool())
            .await
            .expect("ids");
    let note = "one by one";
    let body = json!({"ids": [ids[0], ids[1], ids[1], i64::MAX, -1], "note": note});
    assert_eq!(
        dismiss(&deployment, body.clone()).await.body,
        json!({"dismissed": 2, "remaining": 0})
    );
    assert_eq!(
        dismiss(&deployment, body).await.body,
        json!({"dismissed": 0, "remaining": 0})
    );

    // What another operator decides about at this moment is left to him.
    let mut other = deployment.pool().begin().await.expect("a transaction");
    sqlx::query("select id from unattributed_deposits where id = $1 for update")
        .bind(ids[2])
        .execute(&mut *other)
        .await
        .expect("locked");
    let body = json!({"ids": ids, "note": note});
    assert_eq!(
        dismiss(&deployment, body.clone()).await.body,
        json!({"dismissed": 497, "remaining": 1})
    );
    other.rollback().await.expect("an end");
    assert_eq!(
        dismiss(&deployment, body).await.body,
        json!({"dismissed": 1, "remaining": 0})
    );
    assert_eq!(open(&deployment).await, 600);
    assert_eq!(
        actions(&deployment).await[0]["detail"]["ids"]
            .as_array()
            .map(Vec::len),
        Some(500)
    );
    finish(deployment).await;
}

#[tokio::test]
async fn dismissed_money_stays_in_the_books() {
    let deployment = quiet().await;
    record(deployment.pool(), "gift", &[], 5).await;
    let before = get(&deployment, "/ops/v1/audit").await.body;
    let body = json!({"filter": {"reason": "untagged"}, "note": "a gift"});
    assert_eq!(
        dismiss(&deployment, body).await.body,
        json!({"dismissed": 1, "remaining": 0})
    );
    assert_eq!(get(&deployment, "/ops/v1/audit").await.body, before);
    assert_eq!(before["ok"], true);
    finish(deployment).await;
}

#[tokio::test]
async fn what_says_nothing_or_too_much_is_refused() {
    let deployment = quiet().await;
    many(&deployment).await;
    let before = everything(deployment.pool()).await;
    let too_many: Vec<i64> = (1..=501).collect();
    let cases = [
        (json!({"note": "n"}), "bad ids"),
        (json!({"ids": [], "note": "n"}), "bad ids"),
        (json!({"ids": too_many, "note": "n"}), "bad ids"),
        (
            json!({"ids": [1], "filter": {"reason": "r"}, "note": "n"}),
            "bad filter",
        ),
        (json!({"filter": {}, "note": "n"}), "bad filter"),
        (
            json!({"filter": {"reason": null}, "note": "n"}),
            "bad filter",
        ),
        (json!({"filter": {"reason": ""}, "note": "n"}), "bad reason"),
        (
            json!({"filter": {"reason": "\0"}, "note": "n"}),
            "bad reason",
        ),
        (json!({"filter": {"rail": "sol"}, "note": "n"}), "bad rail"),
        (
            json!({"filter": {"account": ""}, "note": "n"}),
            "bad account",
        ),
        (
            json!({"filter": {"worth_below_micro": 0}, "note": "n"}),
            "bad worth_below_micro",
        ),
        (
            json!({"filter": {"found_before": "today"}, "note": "n"}),
            "bad found_before",
        ),
        (json!({"ids": [1], "note": " "}), "bad note"),
        (json!({"ids": [1], "note": "x".repeat(501)}), "bad note"),
    ];
    for (body, error) in cases {
        let what = body.to_string();
        assert_refused(&dismiss(&deployment, body).await, 400, error, &what);
    }
    // A misspelt condition would dismiss more than was meant.
    for body in [
        json!({"filter": {"reason": "untagged", "worth_below": 5}, "note": "n"}),
        json!({"filter": {"reason": "untagged"}, "note": "n", "limit": 1}),
        json!({"ids": ["1"], "note": "n"}),
    ] {
        let answer = dismiss(&deployment, body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.error().starts_with("bad json: "), "{}", answer.text);
    }
    assert_eq!(everything(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn two_operators_at_once_dismiss_each_deposit_once() {
    let deployment = quiet().await;
    many(&deployment).await;
    let body = json!({"filter": {"rail": "sol-spl-usdc"}, "note": "n"});
    let calls = (0..4).map(|_| dismiss(&deployment, body.clone()));
    let answers = futures::future::join_all(calls).await;
    let dismissed: i64 = answers
        .iter()
        .filter_map(|answer| answer.body["dismissed"].as_i64())
        .sum();
    assert_eq!(1100 - dismissed, open(&deployment).await, "{answers:?}");
    let last = dismiss(&deployment, body).await.body;
    assert_eq!(last["remaining"], open(&deployment).await);
    let kept = books(deployment.pool()).await;
    assert_eq!(kept["transfers"], Value::Null);
    finish(deployment).await;
}
