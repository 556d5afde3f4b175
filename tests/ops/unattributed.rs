//! `GET /ops/v1/unattributed`, `POST /ops/v1/unattributed/{id}/attribute` and `/dismiss`.

use reqwest::Method;
use serde_json::{Value, json};
use stack::{Answer, Console, Deployment};

use crate::chain_books::{USDC, deposit, record, register};
use crate::support::{
    STARTER, actions, assert_refused, books, everything, execute, fields, finish, get, invoice,
    is_now, ops, start, time_of, user,
};

pub const FIELDS: [&str; 14] = [
    "account",
    "detail",
    "found_at",
    "id",
    "invoice_id",
    "note",
    "rail",
    "reason",
    "resolution",
    "resolved_at",
    "signature",
    "units",
    "user_id",
    "worth_micro",
];

async fn call(deployment: &Deployment, id: &str, what: &str, body: Value) -> Answer {
    let path = format!("/ops/v1/unattributed/{id}/{what}");
    ops(deployment, Method::POST, &path, body).await
}

async fn attribute(deployment: &Deployment, id: i64, invoice: &str) -> Answer {
    let body = json!({"invoice_id": invoice, "note": "as the customer showed"});
    call(deployment, &id.to_string(), "attribute", body).await
}

fn resolved(id: i64, resolution: &str) -> Value {
    json!({"id": id, "resolution": resolution})
}

async fn waiting(deployment: &Deployment) -> Vec<Value> {
    let answer = get(deployment, "/ops/v1/unattributed").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(fields(&answer.body), ["next_cursor", "unattributed"]);
    assert_eq!(answer.body["next_cursor"], Value::Null);
    answer.body["unattributed"]
        .as_array()
        .expect("a list")
        .clone()
}

/// A deposit that names nobody.
async fn nobodys(deployment: &Deployment, signature: &str, units: i64) -> i64 {
    record(deployment.pool(), signature, &[], units).await;
    deposit(deployment.pool(), signature).await
}

async fn topup(console: &Console, rail: &str, amount_micro: i64) -> String {
    let body = json!({
        "channel": "crypto-onchain", "rail": rail, "bill_action": {"type": "topup"}, "amount_micro": amount_micro,
    });
    let created = console.create_invoice(&body).await.expect("an answer").body;
    created["id"].as_str().expect("an id").to_owned()
}

async fn opened() -> (Deployment, Console) {
    let deployment = start(Deployment::builder()).await;
    register(&deployment).await;
    let console = user(&deployment).await;
    (deployment, console)
}

async fn status(console: &Console, id: &str) -> Value {
    console.get_invoice(id).await.expect("an answer").body["status"].clone()
}

async fn balance(console: &Console) -> Value {
    console.balance().await.expect("an answer").body["amount_micro"].clone()
}

#[tokio::test]
async fn what_waits_is_listed_newest_first_until_it_is_resolved() {
    let (deployment, console) = opened().await;
    assert_eq!(waiting(&deployment).await, Vec::<Value>::new());
    let id = invoice(&console).await;
    record(deployment.pool(), "one", &[(&id, 7)], 5).await;
    nobodys(&deployment, "two", 9).await;
    execute(
        deployment.pool(),
        "insert into unattributed_deposits (signature, reason, invoice_id) values ('three', 'unreadable', null)",
    )
    .await;
    let mut listed = waiting(&deployment).await;
    listed.reverse();
    let summary: Vec<Value> = listed
        .iter()
        .map(|row| {
            assert_eq!(fields(row), FIELDS);
            assert!(is_now(time_of(row, "found_at")), "{row}");
            json!([
                row["signature"],
                row["account"],
                row["rail"],
                row["units"],
                row["reason"],
                row["invoice_id"]
            ])
        })
        .collect();
    assert_eq!(
        summary,
        [
            json!(["one", USDC, "sol-spl-usdc", 5, "untagged", null]),
            json!(["two", USDC, "sol-spl-usdc", 9, "untagged", null]),
            json!(["three", null, null, null, "unreadable", null]),
        ]
    );

    let second = listed[1]["id"].as_i64().expect("an id");
    let done = call(
        &deployment,
        &second.to_string(),
        "dismiss",
        json!({"note": "a gift"}),
    )
    .await;
    assert_eq!(
        (done.status, done.body),
        (200, resolved(second, "dismissed"))
    );
    assert_eq!(
        waiting(&deployment).await,
        [listed[2].clone(), listed[0].clone()]
    );
    let third = listed[2]["id"].as_i64().expect("an id");
    let done = call(
        &deployment,
        &third.to_string(),
        "dismiss",
        json!({"note": "read by hand"}),
    )
    .await;
    assert_eq!(
        (done.status, done.body),
        (200, resolved(third, "dismissed"))
    );
    assert_eq!(waiting(&deployment).await, listed[..1]);
    // Dismissed money moved nothing.
    assert_eq!(balance(&console).await, 0);
    finish(deployment).await;
}

#[tokio::test]
async fn an_attributed_deposit_settles_like_a_payment_of_that_invoice() {
    let (deployment, console) = opened().await;
    let (bought, credited, late) = (
        invoice(&console).await,
        topup(&console, "sol-spl-usdc", 40).await,
        invoice(&console).await,
    );
    assert_eq!(console.cancel(&late).await.expect("an answer").status, 204);
    // Deposit, invoice, what its status is then, and the balance.
    let cases = [
        (STARTER - 1, &bought, "pending", 0),
        (1, &bought, "paid", 0),
        (45, &credited, "paid", 45),
        (5, &bought, "paid", 50),
        (7, &late, "cancelled", 57),
    ];
    for (nth, (units, invoice, expected, left)) in cases.into_iter().enumerate() {
        let id = nobodys(&deployment, &format!("deposit {nth}"), units).await;
        let done = attribute(&deployment, id, invoice).await;
        assert_eq!(
            (done.status, &done.body),
            (200, &resolved(id, "attributed")),
            "{nth}"
        );
        assert_eq!(status(&console, invoice).await, expected, "{nth}");
        assert_eq!(balance(&console).await, left, "{nth}");
    }
    assert_eq!(waiting(&deployment).await, Vec::<Value>::new());
    let entries = console.entries("").await.expect("an answer").body;
    let kinds = entries["entries"].as_array().expect("a list").iter();
    assert!(kinds.clone().all(|entry| entry["kind"] == "payment_credit"));
    assert_eq!(kinds.count(), 4);
    finish(deployment).await;
}

#[tokio::test]
async fn its_events_and_its_log_line_carry_the_trace_of_the_call() {
    let (deployment, console) = opened().await;
    let credited = topup(&console, "sol-spl-usdc", 40).await;
    let id = nobodys(&deployment, "deposit", 40).await;
    let answer = attribute(&deployment, id, &credited).await;
    let trace = answer.headers["x-request-id"]
        .to_str()
        .expect("a text")
        .to_owned();
    let events: Vec<(String, String)> =
        sqlx::query_as("select topic, message ->> 'kind' from outbox where message ->> 'trace_id' = $1 order by batch_id, id")
            .bind(&trace)
            .fetch_all(deployment.pool())
            .await
            .expect("the events");
    let expected = [
        (
            format!("balance:{}", console.user_id()),
            "balance_credit".to_owned(),
        ),
        (format!("invoice:{credited}"), "invoice_paid".to_owned()),
    ];
    assert_eq!(events, expected);
    let action = actions(&deployment).await.remove(0);
    assert_eq!(action["trace_id"], json!(trace));
    finish(deployment).await;
}

/// What must not be attributed, or not to that invoice, and what the answer is.
#[tokio::test]
async fn refused_attributions_change_nothing() {
    let (deployment, console) = opened().await;
    let pool = deployment.pool();
    let (fits, other_rail, credited) = (
        topup(&console, "sol-spl-usdc", 40).await,
        topup(&console, "sol-spl-usdt", 40).await,
        topup(&console, "sol-spl-usdc", 40).await,
    );
    record(pool, "beside", &[(&credited, 40)], 5).await;
    let (money, beside, given) = (
        nobodys(&deployment, "money", 40).await,
        deposit(pool, "beside").await,
        nobodys(&deployment, "given", 1).await,
    );
    assert_eq!(attribute(&deployment, given, &fits).await.status, 200);
    execute(
        pool,
        "insert into unattributed_deposits (signature, account, units, reason, invoice_id) values
             ('unreadable', null, null, 'unreadable', null),
             ('stray', 'an account of nobody', 40, 'other_account', null),
             ('beside', (select account from deposit_accounts where rail = 'sol-spl-usdc'), 40,
              'reversed_after_settlement', (select max(id) from invoices))",
    )
    .await;
    let last = |signature: &'static str| async move {
        sqlx::query_scalar::<_, i64>(
            "select max(id) from unattributed_deposits where signature = $1",
        )
        .bind(signature)
        .fetch_one(pool)
        .await
        .expect("it is there")
    };
    let (unreadable, stray, debt) = (
        last("unreadable").await,
        last("stray").await,
        last("beside").await,
    );
    let unknown = "inv_00000000000000ff";
    let cases = [
        (money, other_rail.as_str(), 409, "invoice_does_not_fit"),
        (money, unknown, 409, "invoice_does_not_fit"),
        (beside, &credited, 409, "invoice_was_credited"),
        (unreadable, &fits, 409, "nothing_to_attribute"),
        (stray, &fits, 409, "nothing_to_attribute"),
        (debt, &fits, 409, "nothing_to_attribute"),
        (given, &fits, 404, "unattributed deposit not found"),
        (i64::MAX, &fits, 404, "unattributed deposit not found"),
        (money, "nonsense", 400, "bad invoice_id"),
        (money, "", 400, "bad invoice_id"),
    ];
    let before = books(pool).await;
    for (id, invoice, expected, error) in cases {
        let answer = attribute(&deployment, id, invoice).await;
        assert_refused(&answer, expected, error, &format!("{id} {invoice}"));
        assert_eq!(books(pool).await, before, "{id} {invoice}");
    }
    // The corrections of this test are no money that came.
    execute(pool, "delete from unattributed_deposits where signature in ('unreadable', 'stray') or reason like 'reversed%'").await;
    finish(deployment).await;
}

#[tokio::test]
async fn a_note_must_say_something_and_ids_are_numbers() {
    let (deployment, console) = opened().await;
    let fits = topup(&console, "sol-spl-usdc", 40).await;
    let id = nobodys(&deployment, "money", 40).await.to_string();
    let before = everything(deployment.pool()).await;
    for note in ["", " \t", &"x".repeat(501), "nul\0"] {
        for what in ["attribute", "dismiss"] {
            let body = json!({"invoice_id": fits, "note": note});
            let answer = call(&deployment, &id, what, body).await;
            assert_refused(&answer, 400, "bad note", &format!("{what} {note:?}"));
        }
    }
    for (what, body) in [
        ("attribute", json!({"note": "n"})),
        ("attribute", json!({"invoice_id": fits})),
        ("dismiss", json!({})),
    ] {
        let answer = call(&deployment, &id, what, body).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text);
        assert!(
            answer.body["error"]
                .as_str()
                .is_some_and(|error| error.starts_with("bad json: ")),
            "{}",
            answer.text
        );
    }
    for wrong in ["nonsense", "%00", "-1", "99999999999999999999"] {
        let body = json!({"note": "n"});
        let answer = call(&deployment, wrong, "dismiss", body).await;
        assert_refused(&answer, 404, "unattributed deposit not found", wrong);
    }
    assert_eq!(everything(deployment.pool()).await, before);
    let longest = json!({"note": "é".repeat(500)});
    assert_eq!(call(&deployment, &id, "dismiss", longest).await.status, 200);
    let again = call(&deployment, &id, "dismiss", json!({"note": "n"})).await;
    assert_refused(&again, 404, "unattributed deposit not found", "again");
    finish(deployment).await;
}

#[tokio::test]
async fn the_action_log_tells_who_got_what_and_why() {
    let (deployment, console) = opened().await;
    let (fits, other_rail) = (
        topup(&console, "sol-spl-usdc", 40).await,
        topup(&console, "sol-spl-usdt", 40).await,
    );
    let (given, dismissed) = (
        nobodys(&deployment, "one", 40).await,
        nobodys(&deployment, "two", 40).await,
    );
    attribute(&deployment, given, &other_rail).await;
    attribute(&deployment, given, &fits).await;
    attribute(&deployment, given, &fits).await;
    let note = json!({"note": "a gift"});
    call(&deployment, &dismissed.to_string(), "dismiss", note.clone()).await;
    let of = |invoice: &str| json!({"invoice_id": invoice, "note": "as the customer showed"});
    let expected = [
        ("unattributed.dismiss", dismissed, note, "done"),
        (
            "unattributed.attribute",
            given,
            of(&fits),
            "unattributed deposit not found",
        ),
        ("unattributed.attribute", given, of(&fits), "done"),
        (
            "unattributed.attribute",
            given,
            of(&other_rail),
            "invoice_does_not_fit",
        ),
    ];
    let log = actions(&deployment).await;
    for ((name, target, detail, outcome), action) in expected.into_iter().zip(&log) {
        assert_eq!(action["action"], name);
        assert_eq!(action["target"], target.to_string());
        assert_eq!(
            (&action["detail"], &action["outcome"]),
            (&detail, &json!(outcome))
        );
    }
    let notes: Vec<String> =
        sqlx::query_scalar("select note from unattributed_deposits order by id")
            .fetch_all(deployment.pool())
            .await
            .expect("the notes");
    assert_eq!(notes, ["as the customer showed", "a gift"]);
    finish(deployment).await;
}
