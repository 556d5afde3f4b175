//! `GET /v1/balance/entries` (contract §2.5, §4.11).

use serde_json::{Value, json};
use stack::{Console, Deployment};

use crate::support::{
    Caller, STARTER, assert_now, assert_refused, fields, finish, invoice, send, start, starter,
    user, user_with,
};

/// One page: its entries' ids, and where to go on.
async fn page(console: &Console, query: &str) -> (Vec<i64>, Value) {
    let answer = console.entries(query).await.expect("an answer");
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    assert_eq!(fields(&answer.body), ["entries", "next_cursor"], "{query}");
    let entries = answer.body["entries"].as_array().expect("a list");
    let ids = entries
        .iter()
        .map(|entry| entry["id"].as_i64().expect("an id"))
        .collect();
    (ids, answer.body["next_cursor"].clone())
}

#[tokio::test]
async fn entries_say_what_moved_the_balance_newest_first() {
    let deployment = start(Deployment::builder()).await;
    let console = user(&deployment).await;
    let none = console.entries("").await.expect("an answer");
    assert_eq!(
        (none.status, none.body),
        (200, json!({"entries": [], "next_cursor": null}))
    );

    let operator = deployment.operator();
    let user = console.user_id();
    let credit = operator
        .adjust(user, STARTER + 5, "in", "a")
        .await
        .expect("adjusted");
    let id = invoice(&console, &starter()).await;
    assert_eq!(console.pay(&id).await.expect("an answer").status, 200);
    let debit = operator
        .adjust(user, -5, "out", "b")
        .await
        .expect("adjusted");

    let body = console.entries("").await.expect("an answer").body;
    let entries = body["entries"].as_array().expect("a list");
    let expected = [
        (json!(debit.entry_id), -5, "adjust", json!(null)),
        (
            entries[1]["id"].clone(),
            -STARTER,
            "invoice_debit",
            json!(id),
        ),
        (json!(credit.entry_id), STARTER + 5, "adjust", json!(null)),
    ];
    assert_eq!(entries.len(), expected.len());
    for (entry, (id, delta, kind, invoice)) in entries.iter().zip(expected) {
        assert_now(&entry["at"], kind);
        let expected = json!({
            "id": id, "delta_micro": delta, "kind": kind, "ref_invoice_id": invoice,
            "at": entry["at"],
        });
        assert_eq!(entry, &expected);
    }
    assert_eq!(body["next_cursor"], Value::Null);
    finish(deployment).await;
}

#[tokio::test]
async fn pages_fit_together_whatever_the_numbers() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let other = user_with(&deployment, 5).await;
    let mut all = Vec::new();
    for number in 0..205 {
        let key = number.to_string();
        let moved = deployment
            .operator()
            .adjust(console.user_id(), 1, "one more", &key)
            .await;
        all.push(moved.expect("adjusted").entry_id);
    }
    all.reverse();
    assert!(all.is_sorted_by(|one, next| one > next), "{all:?}");

    for (limit, lengths) in [
        (50, vec![50, 50, 50, 50, 5]),
        (41, vec![41; 5]),
        (205, vec![200, 5]),
        (200, vec![200, 5]),
    ] {
        let mut seen = Vec::new();
        let mut query = format!("limit={limit}");
        for (number, length) in lengths.iter().enumerate() {
            let (ids, cursor) = page(&console, &query).await;
            assert_eq!(ids.len(), *length, "{query}");
            seen.extend(ids);
            let is_last = number + 1 == lengths.len();
            let expected = if is_last {
                Value::Null
            } else {
                json!(seen.last())
            };
            assert_eq!(cursor, expected, "{query}");
            query = format!("limit={limit}&after_id={cursor}");
        }
        assert_eq!(seen, all, "{limit}");
    }

    let (oldest, newest) = (all[204], all[0]);
    let queries = [
        (String::new(), &all[..50]),
        ("limit=0".to_owned(), &all[..50]),
        ("limit=-1".to_owned(), &all[..50]),
        ("limit=abc".to_owned(), &all[..50]),
        ("limit=".to_owned(), &all[..50]),
        ("limit=2.5".to_owned(), &all[..50]),
        ("limit=1".to_owned(), &all[..1]),
        ("limit=9223372036854775807".to_owned(), &all[..200]),
        ("after_id=abc".to_owned(), &all[..50]),
        ("after_id=".to_owned(), &all[..50]),
        ("after_id=9223372036854775807".to_owned(), &all[..50]),
        (format!("after_id={newest}&limit=2"), &all[1..3]),
        (format!("after_id={oldest}"), &all[205..]),
        (format!("user_id={}", other.user_id()), &all[..50]),
    ];
    for (query, expected) in queries {
        assert_eq!(page(&console, &query).await.0, expected, "{query}");
    }
    assert_eq!(page(&other, "").await.0.len(), 1);
    finish(deployment).await;
}

#[tokio::test]
async fn entries_need_a_session() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let caller = Caller::at(deployment.api(0).url());
    for query in ["", "?limit=5", "?after_id=5"] {
        let anonymous = send(caller.get(&format!("/v1/balance/entries{query}"))).await;
        assert_refused(&anonymous, 401, "auth required", query);
    }
    finish(deployment).await;
}
