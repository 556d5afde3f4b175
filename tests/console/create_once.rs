//! `client_request_id` (contract §8.1), and many creations at once.

use futures::future::join_all;
use serde_json::{Value, json};
use stack::{Answer, Console, Deployment};

use crate::support::{
    Caller, INVOICES, assert_refused, backdate, books, created, finish, send, signed_in, start,
    starter, text_of, topup, user, user_with, with,
};

fn keyed(id: &str) -> Value {
    with(starter(), &json!({"client_request_id": id}))
}

async fn rows(deployment: &Deployment, console: &Console) -> i64 {
    sqlx::query_scalar("select count(*) from invoices where user_id = $1")
        .bind(console.user_id())
        .fetch_one(deployment.pool())
        .await
        .expect("a count")
}

async fn replay(console: &Console, body: &Value) -> Value {
    let answer = console.create_invoice(body).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn the_same_request_gets_the_same_invoice_as_it_stands_now() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 49_000_000).await;
    let first = created(&console, &keyed("a")).await;
    let before = books(deployment.pool()).await;
    assert_eq!(replay(&console, &keyed("a")).await, first);

    // Neither the order of the keys nor white space nor unknown fields make it another request.
    let caller = Caller::at(deployment.api(0).url());
    let text = r#" {"client_request_id": "a", "unknown": 1,
        "bill_action": {"months": 1, "plan": "starter", "type": "subscription_purchase"},
        "rail": "sol-spl-usdc", "channel": "crypto-onchain"} "#;
    let request = caller
        .post(INVOICES)
        .header("content-type", "application/json")
        .body(text);
    let reordered = send(signed_in(request, &console)).await;
    assert_eq!((reordered.status, &reordered.body), (200, &first));
    assert_eq!(books(deployment.pool()).await, before);

    // Another user's requests and other ids are their own.
    let other = user(&deployment).await;
    assert_ne!(created(&other, &keyed("a")).await["id"], first["id"]);
    let second = created(&console, &keyed("A")).await;
    assert_ne!(second["id"], first["id"]);
    let third = created(&console, &keyed("c")).await;

    let paid = console.pay(text_of(&first, "id")).await.expect("an answer");
    assert_eq!(paid.status, 200);
    let replayed = replay(&console, &keyed("a")).await;
    assert_eq!(
        (&replayed["id"], &replayed["status"]),
        (&first["id"], &json!("paid"))
    );
    let cancelled = console
        .cancel(text_of(&second, "id"))
        .await
        .expect("an answer");
    assert_eq!(cancelled.status, 204);
    let replayed = replay(&console, &keyed("A")).await;
    assert_eq!(
        (&replayed["id"], &replayed["status"]),
        (&second["id"], &json!("cancelled"))
    );
    backdate(deployment.pool(), text_of(&third, "id")).await;
    let replayed = replay(&console, &keyed("c")).await;
    assert_eq!(
        (&replayed["id"], &replayed["status"]),
        (&third["id"], &json!("expired"))
    );
    assert_eq!(rows(&deployment, &console).await, 3);
    finish(deployment).await;
}

#[tokio::test]
async fn another_request_with_the_same_id_is_a_conflict() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    created(&console, &keyed("a")).await;
    let before = books(deployment.pool()).await;
    let action =
        |kind, plan, months| json!({"bill_action": {"type": kind, "plan": plan, "months": months}});
    let others = [
        json!({"channel": "crypto-inapp"}),
        json!({"rail": "sol-spl-usdt"}),
        action("subscription_renew", "starter", 1),
        action("subscription_purchase", "growth", 1),
        action("subscription_purchase", "starter", 3),
        json!({"description": "another"}),
        json!({"ttl_seconds": 60}),
    ];
    for other in others {
        let answer = console
            .create_invoice(&with(keyed("a"), &other))
            .await
            .expect("an answer");
        assert_refused(
            &answer,
            409,
            "client_request_id_conflict",
            &other.to_string(),
        );
    }
    let topup = with(topup(5), &json!({"client_request_id": "a"}));
    let answer = console.create_invoice(&topup).await.expect("an answer");
    assert_refused(&answer, 409, "client_request_id_conflict", "a top-up");
    assert_eq!(books(deployment.pool()).await, before);
    finish(deployment).await;
}

/// The same call so many times at once, on all api processes in turn.
async fn at_once(
    deployment: &Deployment,
    console: &Console,
    bodies: impl Iterator<Item = Value>,
) -> Vec<Answer> {
    let calls = bodies.enumerate().map(|(number, body)| {
        let apis = deployment.apis();
        let console = console.at(apis[number % apis.len()].url());
        async move { console.create_invoice(&body).await.expect("an answer") }
    });
    join_all(calls).await
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers
        .iter()
        .filter(|answer| answer.status == status)
        .count()
}

#[tokio::test]
async fn twenty_identical_calls_at_once_create_one_invoice() {
    let deployment = start(Deployment::builder().apis(2).workers(0)).await;
    let console = user(&deployment).await;
    let bodies = (0..20).map(|_| keyed("a"));
    let answers = at_once(&deployment, &console, bodies).await;
    assert_eq!(
        (count(&answers, 201), count(&answers, 200)),
        (1, 19),
        "{answers:?}"
    );
    let first = &answers[0].body;
    assert!(
        answers.iter().all(|answer| answer.body == *first),
        "{answers:?}"
    );
    assert_eq!(rows(&deployment, &console).await, 1);
    finish(deployment).await;
}

#[tokio::test]
async fn two_requests_that_share_an_id_at_once_cannot_both_win() {
    let deployment = start(Deployment::builder().apis(2).workers(0)).await;
    let console = user(&deployment).await;
    let bodies = (0..20).map(|number: usize| {
        with(
            keyed("a"),
            &json!({"description": format!("number {}", number / 2 % 2)}),
        )
    });
    let answers = at_once(&deployment, &console, bodies).await;
    let counts = (
        count(&answers, 201),
        count(&answers, 200),
        count(&answers, 409),
    );
    assert_eq!(counts, (1, 9, 10), "{answers:?}");
    assert_eq!(rows(&deployment, &console).await, 1);
    finish(deployment).await;
}

#[tokio::test]
async fn the_cap_holds_when_all_come_at_once() {
    let builder = Deployment::builder().apis(2).workers(0);
    let deployment = start(builder.env("QUITTANCE_INVOICES_PENDING_MAX", "7")).await;
    let console = user(&deployment).await;
    let other = user(&deployment).await;
    let bodies = (0..30).map(|_| starter());
    let (answers, others) = futures::join!(
        at_once(&deployment, &console, bodies.clone()),
        at_once(&deployment, &other, bodies),
    );
    for (console, answers) in [(&console, answers), (&other, others)] {
        assert_eq!(
            (count(&answers, 201), count(&answers, 409)),
            (7, 23),
            "{answers:?}"
        );
        for refused in answers.iter().filter(|answer| answer.status == 409) {
            assert_refused(refused, 409, "too_many_pending_invoices", "beyond the cap");
        }
        assert_eq!(rows(&deployment, console).await, 7);
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_replay_needs_no_room_under_the_cap() {
    let builder = Deployment::builder().workers(0);
    let deployment = start(builder.env("QUITTANCE_INVOICES_PENDING_MAX", "1")).await;
    let console = user(&deployment).await;
    let first = created(&console, &keyed("a")).await;
    assert_eq!(replay(&console, &keyed("a")).await, first);
    let answer = console
        .create_invoice(&keyed("b"))
        .await
        .expect("an answer");
    assert_refused(&answer, 409, "too_many_pending_invoices", "a new one");
    finish(deployment).await;
}
