//! `GET /v1/billing/invoices/{id}` (contract §4.3).

use serde_json::json;
use stack::Deployment;

use crate::support::{
    Caller, IMPOSSIBLE_IDS, assert_now, assert_refused, created, finish, invoice, send, start,
    starter, text_of, time_of, topup, user, user_with,
};

#[tokio::test]
async fn the_owner_reads_what_was_created() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    for body in [starter(), topup(5)] {
        let invoice = created(&console, &body).await;
        let answer = console
            .get_invoice(text_of(&invoice, "id"))
            .await
            .expect("an answer");
        assert_eq!((answer.status, answer.body), (200, invoice));
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_paid_and_a_cancelled_invoice_say_so() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 49_000_000).await;
    let fresh = created(&console, &starter()).await;
    let id = text_of(&fresh, "id");
    assert_eq!(console.pay(id).await.expect("an answer").status, 200);
    let paid = console.get_invoice(id).await.expect("an answer").body;
    let mut expected = fresh.clone();
    expected["status"] = json!("paid");
    // Nothing asks for more.
    expected["remaining_micro"] = json!(0);
    expected
        .as_object_mut()
        .expect("an object")
        .remove("qr_uri");
    for time in ["paid_at", "processed_at"] {
        assert_now(&json!(time_of(&paid, time).unix_timestamp()), time);
        expected[time] = paid[time].clone();
    }
    assert_eq!(paid, expected);

    let fresh = created(&console, &starter()).await;
    let id = text_of(&fresh, "id");
    assert_eq!(console.cancel(id).await.expect("an answer").status, 204);
    let mut expected = fresh.clone();
    expected["status"] = json!("cancelled");
    expected["remaining_micro"] = json!(0);
    let cancelled = console.get_invoice(id).await.expect("an answer").body;
    assert_eq!(cancelled, expected);
    finish(deployment).await;
}

#[tokio::test]
async fn unknown_and_foreign_invoices_are_one_answer() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let foreign = invoice(&user(&deployment).await, &starter()).await;
    for id in IMPOSSIBLE_IDS.into_iter().chain([foreign.as_str()]) {
        let answer = console.get_invoice(id).await.expect("an answer");
        assert_refused(&answer, 404, "not found", id);
    }
    let long = "x".repeat(4000);
    let answer = console.get_invoice(&long).await.expect("an answer");
    assert_refused(&answer, 404, "not found", "a long id");

    let caller = Caller::at(deployment.api(0).url());
    for id in ["inv_0000000000000000", "nonsense", foreign.as_str()] {
        let path = format!("/v1/billing/invoices/{id}");
        let anonymous = send(caller.get(&path)).await;
        assert_refused(&anonymous, 401, "auth required", id);
    }
    let unknown = send(caller.get("/v1/billing/no-such-thing")).await;
    assert_refused(&unknown, 404, "not found", "no such path");
    finish(deployment).await;
}
