//! `POST /ops/v1/unattributed/{id}/credit`: a deposit of any rail goes to a user's balance, once.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use stack::{Answer, Console, Deployment};

use crate::chain_books::{deposit, record, record_on, register, register_wallet};
use crate::support::{
    actions, assert_refused, books, execute, fields, finish, get, invoice, ops, start, user,
    user_with,
};

/// The largest balance that clients read exactly.
const BALANCE_MAX: i64 = 9_007_199_254_740_991;
const NOTE: &str = "as the bank told";

async fn credit(deployment: &Deployment, id: i64, user: &impl ToString) -> Answer {
    let path = format!("/ops/v1/unattributed/{id}/credit");
    let body = json!({"user_id": user.to_string(), "note": NOTE});
    ops(deployment, Method::POST, &path, body).await
}

async fn balance(console: &Console) -> Value {
    console.balance().await.expect("an answer").body["amount_micro"].clone()
}

/// So many lamports that name nobody.
async fn lamports(deployment: &Deployment, signature: &str, units: i64) -> i64 {
    let wallet = &deployment.settings().deposit_address;
    record_on(deployment.pool(), wallet, signature, &[], units).await;
    deposit(deployment.pool(), signature).await
}

async fn dollars(deployment: &Deployment, signature: &str, units: i64) -> i64 {
    record(deployment.pool(), signature, &[], units).await;
    deposit(deployment.pool(), signature).await
}

async fn with_accounts(builder: stack::deployment::Builder) -> Deployment {
    let deployment = start(builder).await;
    register(&deployment).await;
    register_wallet(&deployment).await;
    deployment
}

#[tokio::test]
async fn a_deposit_of_any_rail_goes_to_the_balance_at_what_it_is_worth() {
    let builder = Deployment::builder().env("QUITTANCE_SOL_PRICE_MICRO", "150000000");
    let deployment = with_accounts(builder).await;
    let console = user(&deployment).await;
    let cases = [
        (
            dollars(&deployment, "usdc", 49_000_000).await,
            49_000_000,
            49_000_000,
        ),
        // Two SOL.
        (
            lamports(&deployment, "sol", 2_000_000_000).await,
            300_000_000,
            349_000_000,
        ),
        // Less than a micro-dollar moves nothing, and is off the list.
        (lamports(&deployment, "lamport", 1).await, 0, 349_000_000),
    ];
    let mut entries: Vec<Value> = Vec::new();
    for (id, worth, left) in cases {
        let answer = credit(&deployment, id, &console.user_id()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let entry = answer.body["entry_id"].clone();
        let expected = json!({
            "id": id, "resolution": "credited", "amount_micro": worth, "entry_id": entry, "new_balance_micro": left,
        });
        assert_eq!(answer.body, expected);
        assert_eq!(entry.is_null(), worth == 0, "{}", answer.text);
        entries.extend(Some(entry).filter(|entry| !entry.is_null()));
        assert_eq!(balance(&console).await, left);
        let again = credit(&deployment, id, &console.user_id()).await;
        assert_refused(&again, 404, "unattributed deposit not found", "again");
    }
    let listed = console.entries("").await.expect("an answer").body;
    let mut kept: Vec<Value> = listed["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["id"].clone())
        .collect();
    kept.reverse();
    assert_eq!(kept, entries);
    let resolved = get(
        &deployment,
        "/ops/v1/unattributed?state=resolved&order=oldest",
    )
    .await;
    for row in resolved.body["unattributed"].as_array().expect("a list") {
        let said = (&row["resolution"], &row["user_id"], &row["note"]);
        assert_eq!(
            said,
            (&json!("credited"), &json!(console.user_id()), &json!(NOTE))
        );
    }
    assert_eq!(
        get(&deployment, "/ops/v1/unattributed").await.body["unattributed"],
        json!([])
    );
    finish(deployment).await;
}

#[tokio::test]
async fn calls_at_once_credit_once_and_one_of_two_ways_wins() {
    let deployment = with_accounts(Deployment::builder()).await;
    let console = user(&deployment).await;
    let other = user(&deployment).await;
    let id = dollars(&deployment, "raced", 7).await;
    let users = [console.user_id(), other.user_id()];
    let calls = (0..8).map(|nth| {
        let deployment = &deployment;
        async move { credit(deployment, id, &users[nth % 2]).await.status }
    });
    let mut statuses = join_all(calls).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404, 404, 404, 404, 404, 404, 404]);
    let sum = |one: Value, two: Value| one.as_i64().zip(two.as_i64()).map(|(a, b)| a + b);
    assert_eq!(sum(balance(&console).await, balance(&other).await), Some(7));

    for nth in 0..4 {
        let id = dollars(&deployment, &format!("two ways {nth}"), 5).await;
        let invoice = invoice(&console).await;
        let attribute = async {
            let path = format!("/ops/v1/unattributed/{id}/attribute");
            let body = json!({"invoice_id": invoice, "note": NOTE});
            ops(&deployment, Method::POST, &path, body).await.status
        };
        let credited = async { credit(&deployment, id, &users[1]).await.status };
        let (attributed, credited) = futures::join!(attribute, credited);
        let mut both = [attributed, credited];
        both.sort_unstable();
        assert_eq!(both, [200, 404], "{nth}");
    }
    finish(deployment).await;
}

#[tokio::test]
async fn refused_credits_change_nothing_but_the_log() {
    let deployment = with_accounts(Deployment::builder()).await;
    let console = user_with(&deployment, BALANCE_MAX - 4).await;
    let (small, large) = (
        dollars(&deployment, "small", 4).await,
        dollars(&deployment, "large", 5).await,
    );
    execute(
        deployment.pool(),
        "insert into unattributed_deposits (signature, account, units, reason)
         values ('unreadable', null, null, 'unreadable'), ('stray', 'an account of nobody', 40, 'other_account')",
    )
    .await;
    let unreadable = deposit(deployment.pool(), "unreadable").await;
    let stray = deposit(deployment.pool(), "stray").await;
    let ours = console.user_id().to_string();
    let unknown = "00000000-0000-0000-0000-00000000000f";
    let before = books(deployment.pool()).await;
    for (id, user, status, error) in [
        (large, ours.as_str(), 409, "balance_too_large"),
        (unreadable, &ours, 409, "nothing_to_attribute"),
        (stray, &ours, 409, "nothing_to_attribute"),
        (large, unknown, 404, "user not found"),
        (large, "nobody", 400, "bad user_id"),
        (i64::MAX, &ours, 404, "unattributed deposit not found"),
    ] {
        let answer = credit(&deployment, id, &user).await;
        assert_refused(&answer, status, error, &format!("{id} {user}"));
        assert!(!answer.headers.contains_key("retry-after"), "{error}");
        assert_eq!(books(deployment.pool()).await, before, "{error}");
    }
    let path = format!("/ops/v1/unattributed/{large}/credit");
    let answer = ops(
        &deployment,
        Method::POST,
        &path,
        json!({"user_id": ours, "note": ""}),
    )
    .await;
    assert_refused(&answer, 400, "bad note", "an empty note");
    assert_eq!(credit(&deployment, small, &ours).await.status, 200);
    assert_eq!(balance(&console).await, BALANCE_MAX);

    let log = actions(&deployment).await;
    let outcomes: Vec<&str> = log
        .iter()
        .filter(|action| action["action"] == "unattributed.credit")
        .filter_map(|action| action["outcome"].as_str())
        .collect();
    let expected = [
        "done",
        "unattributed deposit not found",
        "user not found",
        "nothing_to_attribute",
        "nothing_to_attribute",
        "balance_too_large",
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(log[0]["target"], small.to_string());
    assert_eq!(log[0]["detail"], json!({"user_id": ours, "note": NOTE}));
    assert_eq!(fields(&log[0]["detail"]), ["note", "user_id"]);
    finish(deployment).await;
}

/// A price that is missing now comes back; one that nobody configured does not.
#[tokio::test]
async fn without_a_price_lamports_wait_and_dollars_do_not() {
    let dead = ("QUITTANCE_SOL_PRICE_FEED_URL", "http://127.0.0.1:9/price");
    for ((key, value), status, error, passes) in [
        (dead, 503, "fx_unavailable", true),
        (
            ("QUITTANCE_SOL_PRICE_MICRO", "0"),
            409,
            "fx_not_configured",
            false,
        ),
    ] {
        let deployment = with_accounts(Deployment::builder().env(key, value)).await;
        let console = user(&deployment).await;
        let id = lamports(&deployment, "sol", 1_000_000_000).await;
        let before = books(deployment.pool()).await;
        let answer = credit(&deployment, id, &console.user_id()).await;
        assert_refused(&answer, status, error, key);
        assert_eq!(answer.headers.contains_key("retry-after"), passes, "{key}");
        assert_eq!(books(deployment.pool()).await, before, "{key}");
        let id = dollars(&deployment, "usdc", 9).await;
        assert_eq!(
            credit(&deployment, id, &console.user_id()).await.status,
            200
        );
        assert_eq!(balance(&console).await, 9);
        finish(deployment).await;
    }
}
