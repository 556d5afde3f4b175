//! `POST /v1/billing/invoices/{id}/cancel` (contract §4.4).

use serde_json::json;
use stack::Deployment;

use crate::support::{
    Caller, IMPOSSIBLE_IDS, NEVER_MS, assert_now, assert_refused, assert_unchanged_by, backdate,
    books, finish, invoice, send, signed_in, start, starter, topup, user, user_with,
};

const GONE: &str = "not found or not pending";

fn path(id: &str) -> String {
    format!("/v1/billing/invoices/{id}/cancel")
}

#[tokio::test]
async fn the_owner_cancels_once() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    for body in [starter(), topup(5)] {
        let id = invoice(&console, &body).await;
        let answer = console.cancel(&id).await.expect("an answer");
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        let read = console.get_invoice(&id).await.expect("an answer");
        assert_eq!(read.body["status"], "cancelled");

        let before = books(deployment.pool()).await;
        let again = console.cancel(&id).await.expect("an answer");
        assert_refused(&again, 404, GONE, "a second time");
        assert_unchanged_by(&before, &deployment, "a second time").await;

        let event = &before["outbox"]
            .as_array()
            .and_then(|all| all.last())
            .expect("an event");
        assert_eq!(event["topic"], format!("invoice:{id}"));
        let data = &event["message"]["data"];
        assert_eq!(data["kind"], "invoice_cancelled");
        assert_now(&data["at"], "the event");
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_body_is_not_looked_at() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    for (content_type, body) in [("application/json", "{"), ("text/plain", "x"), ("", "")] {
        let id = invoice(&console, &starter()).await;
        let request = caller
            .post(&path(&id))
            .header("content-type", content_type)
            .body(body);
        assert_eq!(
            send(signed_in(request, &console)).await.status,
            204,
            "{content_type}"
        );
    }
    finish(deployment).await;
}

#[tokio::test]
async fn everything_else_is_one_refusal_and_changes_nothing() {
    let builder = Deployment::builder().env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS);
    let deployment = start(builder).await;
    let console = user_with(&deployment, 49_000_000).await;
    let other = user(&deployment).await;
    let [paid, expired, swept] = {
        let one = async || invoice(&console, &starter()).await;
        [one().await, one().await, one().await]
    };
    assert_eq!(console.pay(&paid).await.expect("an answer").status, 200);
    backdate(deployment.pool(), &expired).await;
    sqlx::query("update invoices set status = 'expired', version = 2 where id = $1")
        .bind(&swept)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    let foreign = invoice(&other, &starter()).await;
    let before = books(deployment.pool()).await;
    let rows = [
        ("paid", &paid),
        ("past its expiry, not swept", &expired),
        ("expired", &swept),
        ("another user's", &foreign),
    ];
    for (what, id) in rows {
        let answer = console.cancel(id).await.expect("an answer");
        assert_refused(&answer, 404, GONE, what);
    }
    for id in IMPOSSIBLE_IDS {
        let answer = console.cancel(id).await.expect("an answer");
        assert_refused(&answer, 404, GONE, id);
    }
    let anonymous = Caller::at(deployment.api(0).url())
        .post(&path(&foreign))
        .json(&json!({}));
    assert_refused(&send(anonymous).await, 401, "auth required", "no cookie");
    assert_unchanged_by(&before, &deployment, "refused").await;
    finish(deployment).await;
}
