//! What readers are told of payments on chain: each event once, in its place, with what the contract says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::chain::Commitment::{Confirmed, Finalized};
use shared::events::Publication;
use shared::ids::InvoiceId;

use crate::chain_look::{record, release, reverse, try_record};
use crate::chain_scene::Scene;
use crate::chain_world::{Effects, invoices, let_lapse, purchase, signature, topup};

/// Topic, kind, position minus previous, and data without the time, of what a call publishes.
fn told(publication: Option<Publication>) -> Vec<(String, Value)> {
    let events = publication.map(|publication| publication.events);
    let events = events.unwrap_or_default().into_iter();
    let parsed = events.map(|(topic, message)| {
        let mut message: Value = serde_json::from_str(&message).unwrap();
        let at = message["data"].as_object_mut().unwrap().remove("at");
        assert!(at.is_some_and(|at| at.is_i64()), "{message}");
        assert_eq!(message["kind"], message["data"]["kind"]);
        (topic, message)
    });
    parsed.collect()
}

fn invoice_event(
    scene: &Scene,
    id: &InvoiceId,
    version: i64,
    data: &Value,
) -> (String, Value, i64) {
    let mut whole = json!({"invoice_id": id, "user_id": scene.user, "amount_micro": 50});
    let fields = whole.as_object_mut().unwrap();
    fields.extend(data.as_object().unwrap().clone());
    (format!("invoice:{id}"), whole, version)
}

fn assert_told(publication: Option<Publication>, expected: &[(String, Value, i64)]) {
    let seen = told(publication);
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    for ((topic, message), (expected_topic, data, version)) in seen.iter().zip(expected) {
        assert_eq!((topic, &message["data"]), (expected_topic, data));
        let place = (&message["previous"], &message["position"]);
        assert_eq!(place, (&json!(version - 1), &json!(version)));
        assert!(
            message["trace_id"]
                .as_str()
                .is_some_and(|trace| !trace.is_empty())
        );
    }
}

#[tokio::test]
async fn progress_goes_up_and_down_and_ends_with_the_payment() {
    let scene = Scene::open().await;
    let id = scene.bill(purchase(50)).await;
    let progress = |version, received: i64| {
        let mut data = json!({"kind": "invoice_progress", "status": "pending"});
        if received > 0 {
            data["payments_received_micro"] = json!(received);
        }
        invoice_event(&scene, &id, version, &data)
    };
    let (one, two) = (signature(), signature());
    let pool = scene.pool();
    let part = Effects::pays(&id, 20);
    let seen = record(pool, &one, Confirmed, &part).await;
    assert_told(seen.publication, &[progress(2, 20)]);
    // Nothing moved: the same again, and finality of a part.
    for commitment in [Confirmed, Finalized, Finalized] {
        let seen = record(pool, &one, commitment, &part).await;
        assert_told(seen.publication, &[]);
    }
    let seen = record(pool, &two, Confirmed, &Effects::pays(&id, 10)).await;
    assert_told(seen.publication, &[progress(3, 30)]);
    assert!(reverse(pool, &two).await);
    let stored: Value = sqlx::query_scalar(
        "select message from outbox where topic = $1 order by batch_id desc, id desc limit 1",
    )
    .bind(format!("invoice:{id}"))
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(
        (
            &stored["position"],
            &stored["data"]["payments_received_micro"]
        ),
        (&json!(4), &json!(20))
    );

    let last = Effects::pays(&id, 30);
    let seen = record(pool, &signature(), Finalized, &last).await;
    let paid = json!({"kind": "invoice_paid", "status": "paid", "payments_received_micro": 50});
    assert_told(seen.publication, &[invoice_event(&scene, &id, 5, &paid)]);
    // After its end an invoice's stream is silent; what comes is told on the balance's.
    let late = record(pool, &signature(), Confirmed, &last).await;
    assert_told(late.publication, &[]);
    assert_eq!(
        invoices(pool, std::slice::from_ref(&id)).await[0].version,
        5
    );
    scene.close().await;
}

/// All reversed leaves the amount out, as the contract leaves zeros out.
#[tokio::test]
async fn a_reversal_to_nothing_is_progress_too() {
    let scene = Scene::open().await;
    let id = scene.bill(purchase(50)).await;
    let of = scene.pay(&id, 50, Confirmed).await;
    assert!(reverse(scene.pool(), &of).await);
    let stored: Vec<Value> = sqlx::query_scalar(
        "select message -> 'data' from outbox where topic = $1 order by batch_id, id",
    )
    .bind(format!("invoice:{id}"))
    .fetch_all(scene.pool())
    .await
    .unwrap();
    let received: Vec<&Value> = stored
        .iter()
        .map(|data| &data["payments_received_micro"])
        .collect();
    assert_eq!(received, [&json!(50), &Value::Null]);
    assert!(
        stored
            .iter()
            .all(|data| data["kind"] == "invoice_progress" && data["status"] == "pending")
    );
    scene.close().await;
}

#[tokio::test]
async fn a_top_up_tells_the_balance_and_the_invoice_and_positions_follow_each_other() {
    let scene = Scene::open().await;
    let id = scene.bill(topup(50)).await;
    let seen = told(
        record(
            scene.pool(),
            &signature(),
            Finalized,
            &Effects::pays(&id, 80),
        )
        .await
        .publication,
    );
    let credit = |delta: i64, balance: i64| {
        json!({"kind": "balance_credit", "user_id": scene.user, "delta_micro": delta, "new_balance": balance,
               "ref_invoice_id": id})
    };
    let topics: Vec<&str> = seen.iter().map(|(topic, _)| topic.as_str()).collect();
    let (balance, invoice) = (format!("balance:{}", scene.user), format!("invoice:{id}"));
    assert_eq!(topics, [&balance, &invoice, &balance]);
    assert_eq!(
        (&seen[0].1["data"], &seen[2].1["data"]),
        (&credit(50, 50), &credit(30, 80))
    );
    assert_eq!(seen[0].1["previous"], 0);
    assert_eq!(seen[2].1["previous"], seen[0].1["position"]);

    // Money that comes late goes on where the stream is.
    let late = told(
        record(
            scene.pool(),
            &signature(),
            Finalized,
            &Effects::pays(&id, 5),
        )
        .await
        .publication,
    );
    assert_eq!(late.len(), 1);
    assert_eq!((&late[0].0, &late[0].1["data"]), (&balance, &credit(5, 85)));
    assert_eq!(late[0].1["previous"], seen[2].1["position"]);
    scene.close().await;
}

#[tokio::test]
async fn money_of_an_ended_invoice_is_told_on_the_balance_only() {
    let scene = Scene::open().await;
    let id = scene.bill(purchase(50)).await;
    scene.pay(&id, 20, Finalized).await;
    let_lapse(scene.pool(), &id).await;
    assert_eq!(scene.sweep().await, 1);
    assert_eq!(release(scene.pool()).await, 1);
    let kinds: Vec<(String, String)> = sqlx::query_as(
        "select split_part(topic, ':', 1), message ->> 'kind' from outbox order by batch_id, id",
    )
    .fetch_all(scene.pool())
    .await
    .unwrap();
    let kinds: Vec<(&str, &str)> = kinds
        .iter()
        .map(|(topic, kind)| (topic.as_str(), kind.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("invoice", "invoice_progress"),
            ("invoice", "invoice_expired"),
            ("balance", "balance_credit")
        ]
    );
    scene.close().await;
}

/// A crash before the commit leaves nothing; one after it leaves events that the sweep publishes. Repeating is harmless.
#[tokio::test]
async fn case_50_a_crash_around_the_commit_loses_and_doubles_nothing() {
    let scene = Scene::open().await;
    let (id, of) = (scene.bill(purchase(50)).await, signature());
    let (pool, effects) = (scene.pool(), Effects::pays(&id, 50));
    for statement in [
        "create function refuse_commit() returns trigger language plpgsql as
         $$ begin raise exception 'refused at commit'; end $$",
        "create constraint trigger late after insert on outbox_batches deferrable initially deferred
         for each row execute function refuse_commit()",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    let refused = try_record(pool, &of, Finalized, &effects, false).await;
    assert!(
        refused.is_err(),
        "it reported success before its commit, which failed"
    );
    scene.expect(&id, "pending", 0, 0).await;
    sqlx::query("drop trigger late on outbox_batches")
        .execute(pool)
        .await
        .unwrap();

    // Recorded by a watcher that dies at once, and again by another one.
    let batch = record(pool, &of, Finalized, &effects)
        .await
        .publication
        .unwrap()
        .batch_id;
    assert_eq!(
        record(pool, &of, Finalized, &effects).await.publication,
        None
    );
    scene.expect(&id, "paid", 50, 0).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let published = "select published_at is not null from outbox_batches where id = $1";
    while !sqlx::query_scalar::<_, bool>(published)
        .bind(batch)
        .fetch_one(pool)
        .await
        .unwrap()
    {
        assert!(Instant::now() < deadline, "the sweep does not publish it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let events: i64 = sqlx::query_scalar("select count(*) from outbox")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(events, 1);
    scene.close().await;
}
