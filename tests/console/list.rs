//! `GET /v1/billing/invoices` (contract §4.2).

use futures::future::join_all;
use serde_json::{Value, json};
use stack::{Console, Deployment};
use time::OffsetDateTime;

use crate::support::{
    Caller, INVOICES, assert_refused, created, fields, finish, invoice, send, start, starter,
    text_of, time_of, topup, user, user_with, with,
};

async fn page(console: &Console, query: &str) -> Vec<Value> {
    let answer = console.list_invoices(query).await.expect("an answer");
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    assert_eq!(fields(&answer.body), ["invoices"], "{query}");
    answer.body["invoices"].as_array().expect("a list").clone()
}

async fn ids(console: &Console, query: &str) -> Vec<String> {
    let invoices = page(console, query).await;
    invoices
        .iter()
        .map(|invoice| text_of(invoice, "id").to_owned())
        .collect()
}

#[tokio::test]
async fn the_newest_come_first_as_base_objects() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 49_000_000).await;
    assert_eq!(page(&console, "").await, Vec::<Value>::new());
    let all = json!({"client_request_id": "a", "description": "b", "rail": "sol-native"});
    let mut expected = Vec::new();
    for body in [starter(), with(starter(), &all), topup(5)] {
        expected.push(created(&console, &body).await);
    }
    assert_eq!(
        console
            .pay(text_of(&expected[0], "id"))
            .await
            .expect("an answer")
            .status,
        200
    );
    for invoice in &mut expected {
        let read = console
            .get_invoice(text_of(invoice, "id"))
            .await
            .expect("an answer");
        *invoice = read.body;
        let of_the_single_view = [
            "address",
            "qr_uri",
            "payments",
            "payments_received_micro",
            "remaining_micro",
        ];
        let object = invoice.as_object_mut().expect("an object");
        object.retain(|name, _| !of_the_single_view.contains(&name.as_str()));
    }
    expected.reverse();
    assert_eq!(page(&console, "").await, expected);
    finish(deployment).await;
}

#[tokio::test]
async fn pages_fit_together_whatever_the_numbers() {
    let builder = Deployment::builder().workers(0);
    let deployment = start(builder.env("QUITTANCE_INVOICES_PENDING_MAX", "1000")).await;
    let console = user(&deployment).await;
    let mut expected = Vec::new();
    for _ in 0..15 {
        expected.push(invoice(&console, &starter()).await);
    }
    let body = starter();
    expected.extend(join_all((0..95).map(|_| invoice(&console, &body))).await);
    let newest = page(&console, "limit=100").await;
    let times: Vec<OffsetDateTime> = newest
        .iter()
        .map(|one| time_of(one, "created_at"))
        .collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");

    let mut seen = Vec::new();
    for offset in (0..110).step_by(20) {
        seen.extend(ids(&console, &format!("offset={offset}")).await);
    }
    expected[..15].reverse();
    assert_eq!(seen[95..], expected[..15]);
    assert_eq!(seen.len(), expected.len());
    let sorted = |mut ids: Vec<String>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(sorted(seen.clone()), sorted(expected));

    let lengths = [
        ("limit=1", 1),
        ("limit=7", 7),
        ("limit=99", 99),
        ("limit=100", 100),
        ("limit=101", 100),
        ("limit=100000", 100),
        ("limit=9223372036854775807", 100),
        ("limit=0", 20),
        ("limit=", 20),
        ("limit=-5", 20),
        ("limit=abc", 20),
        ("limit=5.5", 20),
        ("limit=1e1", 20),
        ("limit=%31%30", 10),
        ("offset=-1", 20),
        ("offset=abc", 20),
        ("offset=", 20),
        ("limit=50&offset=100", 10),
        ("offset=109", 1),
        ("offset=110", 0),
        ("offset=9223372036854775807", 0),
        ("unknown=1", 20),
        ("&&=&limit", 20),
        ("status=pending", 20),
        ("status=paid", 0),
        ("status=pending&limit=100&offset=50", 60),
    ];
    for (query, length) in lengths {
        let ids = ids(&console, query).await;
        assert_eq!(ids.len(), length, "{query}");
        if query.starts_with("limit") && !query.contains("offset") {
            assert_eq!(ids, seen[..length], "{query}");
        }
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_status_filters_and_any_other_is_refused() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 49_000_000).await;
    let [pending, paid, cancelled, expired] = {
        let one = async || invoice(&console, &starter()).await;
        [one().await, one().await, one().await, one().await]
    };
    assert_eq!(console.pay(&paid).await.expect("an answer").status, 200);
    assert_eq!(
        console.cancel(&cancelled).await.expect("an answer").status,
        204
    );
    crate::support::backdate(deployment.pool(), &expired).await;
    let expected = [
        ("pending", pending),
        ("paid", paid),
        ("cancelled", cancelled),
        ("expired", expired),
    ];
    for (status, id) in expected {
        let found = page(&console, &format!("status={status}")).await;
        assert_eq!(found.len(), 1, "{status}: {found:?}");
        let is = (found[0]["id"].as_str(), found[0]["status"].as_str());
        assert_eq!(is, (Some(id.as_str()), Some(status)));
    }
    assert_eq!(ids(&console, "status=%70aid").await.len(), 1);
    for status in [
        "PAID",
        "open",
        "paid,pending",
        "paid%20",
        "%00",
        "%ff",
        "null",
        "*",
    ] {
        let query = format!("status={status}");
        let answer = console.list_invoices(&query).await.expect("an answer");
        assert_refused(&answer, 400, "bad status", status);
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_list_is_the_callers_own() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let (one, other) = (user(&deployment).await, user(&deployment).await);
    let mine = invoice(&one, &starter()).await;
    let theirs = invoice(&other, &starter()).await;
    let query = format!("user_id={}", other.user_id());
    assert_eq!(ids(&one, &query).await, [mine]);
    assert_eq!(ids(&other, "").await, [theirs]);
    let anonymous = send(Caller::at(deployment.api(0).url()).get(INVOICES)).await;
    assert_refused(&anonymous, 401, "auth required", "no cookie");
    finish(deployment).await;
}
