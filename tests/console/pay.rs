//! `POST /v1/billing/invoices/{id}/pay-from-balance` (contract §4.6): what paying does.

use futures::future::join_all;
use serde_json::{Value, json};
use stack::client::console::subscription_invoice;
use stack::{Answer, Console, Deployment};

use crate::support::{
    Caller, STARTER, assert_now, assert_unchanged_by, books, finish, invoice, send, signed_in,
    start, starter, user_with, with,
};

fn path(id: &str) -> String {
    format!("/v1/billing/invoices/{id}/pay-from-balance")
}

async fn pay(console: &Console, id: &str) -> Answer {
    console.pay(id).await.expect("an answer")
}

fn assert_paid(answer: &Answer, id: &str, balance_micro: i64, what: &str) {
    let expected = json!({"invoice_id": id, "status": "paid", "new_balance_micro": balance_micro});
    assert_eq!((answer.status, &answer.body), (200, &expected), "{what}");
}

#[tokio::test]
async fn paying_debits_activates_and_tells() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 150_000_000).await;
    let id = invoice(&console, &subscription_invoice("starter", 3)).await;
    assert_paid(&pay(&console, &id).await, &id, 3_000_000, "the first time");

    let balance = console.balance().await.expect("an answer").body;
    assert_eq!(balance["amount_micro"], 3_000_000);
    let entries = console.entries("").await.expect("an answer").body;
    let debit = &entries["entries"][0];
    let expected = json!({
        "id": debit["id"], "delta_micro": -3 * STARTER, "kind": "invoice_debit",
        "ref_invoice_id": id, "at": debit["at"],
    });
    assert_eq!(debit, &expected);
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(2));

    let books = books(deployment.pool()).await;
    let subscription = &books["subscriptions"][0];
    assert_eq!(subscription["user_id"], json!(console.user_id()));
    assert_eq!(subscription["plan"], "starter");
    assert_eq!(subscription["months_purchased"], 3);
    let events: Vec<&Value> = books["outbox"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| &event["message"]["data"])
        .filter(|data| data["kind"] != "balance_credit")
        .collect();
    let kinds: Vec<&Value> = events.iter().map(|data| &data["kind"]).collect();
    assert_eq!(kinds, ["balance_debit", "invoice_paid"]);
    for data in events {
        assert_now(&data["at"], "an event");
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_replay_answers_with_the_balance_of_now_and_debits_nothing() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER).await;
    let id = invoice(&console, &starter()).await;
    assert_paid(&pay(&console, &id).await, &id, 0, "the first time");
    let before = books(deployment.pool()).await;
    assert_paid(&pay(&console, &id).await, &id, 0, "a replay");
    assert_unchanged_by(&before, &deployment, "a replay").await;

    let operator = deployment.operator();
    let user = console.user_id();
    operator
        .adjust(user, 7, "a gift", "key")
        .await
        .expect("adjusted");
    assert_paid(&pay(&console, &id).await, &id, 7, "after an adjustment");
    // Neither a lock nor an invoice's old expiry has a say in what is paid.
    assert_eq!(operator.lock(user).await.expect("an answer").status, 200);
    assert_paid(&pay(&console, &id).await, &id, 7, "while locked");
    crate::support::backdate(deployment.pool(), &id).await;
    assert_paid(&pay(&console, &id).await, &id, 7, "past its expiry");
    assert_eq!(
        books(deployment.pool()).await["outbox"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
    finish(deployment).await;
}

#[tokio::test]
async fn a_body_is_not_looked_at() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 10 * STARTER).await;
    let other = user_with(&deployment, 0).await;
    let caller = Caller::at(deployment.api(0).url());
    let forged = json!({"user_id": other.user_id(), "amount_micro": 1}).to_string();
    let bodies = [
        ("application/json", ""),
        ("application/json", "{"),
        ("application/json", forged.as_str()),
        ("text/plain", "pay"),
        ("", "\u{0}"),
    ];
    for (paid, (content_type, body)) in (1..).zip(bodies) {
        let id = invoice(&console, &starter()).await;
        let request = caller.post(&path(&id)).header("content-type", content_type);
        let answer = send(signed_in(request.body(body.to_owned()), &console)).await;
        assert_paid(&answer, &id, (10 - paid) * STARTER, body);
    }
    finish(deployment).await;
}

#[tokio::test]
async fn many_calls_at_once_debit_once() {
    let deployment = start(Deployment::builder().apis(2).workers(2)).await;
    let console = user_with(&deployment, 3 * STARTER).await;
    let id = invoice(&console, &starter()).await;
    let calls = (0..20).map(|number| {
        let console = console.at(deployment.api(number % 2).url());
        let id = &id;
        async move { pay(&console, id).await }
    });
    for answer in join_all(calls).await {
        assert_paid(&answer, &id, 2 * STARTER, "one of many");
    }
    let entries = console.entries("").await.expect("an answer").body;
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(2));
    finish(deployment).await;
}

#[tokio::test]
async fn many_invoices_at_once_spend_what_is_there_and_no_more() {
    let deployment = start(Deployment::builder().workers(2)).await;
    let console = user_with(&deployment, 3 * STARTER + 1).await;
    let mut ids = Vec::new();
    for plan in ["starter"; 8] {
        ids.push(invoice(&console, &subscription_invoice(plan, 1)).await);
    }
    let answers = join_all(ids.iter().map(|id| pay(&console, id))).await;
    let of = |status: u16| answers.iter().filter(move |answer| answer.status == status);
    let mut balances: Vec<i64> = of(200)
        .filter_map(|answer| answer.body["new_balance_micro"].as_i64())
        .collect();
    balances.sort_unstable();
    assert_eq!(balances, [1, STARTER + 1, 2 * STARTER + 1], "{answers:?}");
    assert_eq!(
        of(409)
            .filter(|answer| answer.error() == "insufficient_balance")
            .count(),
        5
    );
    finish(deployment).await;
}

#[tokio::test]
async fn renewals_prolong_what_was_bought() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 20 * STARTER).await;
    for (kind, months) in [
        ("subscription_purchase", 1),
        ("subscription_renew", 3),
        ("subscription_renew", 12),
    ] {
        let action = json!({"type": kind, "plan": "starter", "months": months});
        let id = invoice(&console, &with(starter(), &json!({"bill_action": action}))).await;
        assert_eq!(pay(&console, &id).await.status, 200);
    }
    let lasts_16_months: bool = sqlx::query_scalar(
        "select active_until = anchor_at + interval '16 months' and months_purchased = 16
         from subscriptions where user_id = $1 and plan = 'starter'",
    )
    .bind(console.user_id())
    .fetch_one(deployment.pool())
    .await
    .expect("one subscription");
    assert!(lasts_16_months);
    finish(deployment).await;
}
