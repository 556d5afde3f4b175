//! Past its expiry an invoice counts as expired, whether a sweep has seen it or not (contract §3).

use serde_json::json;
use stack::Deployment;

use crate::support::{
    LIMIT, NEVER_MS, assert_closed, assert_now, assert_refused, assert_unchanged_by, backdate,
    books, created, event, finish, invoice, start, starter, text_of, until, user_with, with,
};

async fn stored_status(deployment: &Deployment, id: &str) -> String {
    sqlx::query_scalar("select status from invoices where id = $1")
        .bind(id)
        .fetch_one(deployment.pool())
        .await
        .expect("the invoice")
}

#[tokio::test]
async fn nobody_has_to_sweep_for_an_invoice_to_be_expired() {
    let builder = Deployment::builder()
        .env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS)
        .env("QUITTANCE_INVOICES_PENDING_MAX", "2");
    let deployment = start(builder).await;
    let console = user_with(&deployment, 100_000_000).await;
    let body = with(starter(), &json!({"client_request_id": "a"}));
    let fresh = created(&console, &body).await;
    let id = text_of(&fresh, "id");
    let pending = invoice(&console, &starter()).await;
    backdate(deployment.pool(), id).await;
    let before = books(deployment.pool()).await;

    let read = console.get_invoice(id).await.expect("an answer");
    assert_eq!(
        (read.status, &read.body["status"]),
        (200, &json!("expired"))
    );
    for (status, ids) in [("pending", vec![pending.as_str()]), ("expired", vec![id])] {
        let query = format!("status={status}");
        let listed = console.list_invoices(&query).await.expect("an answer").body;
        let invoices = listed["invoices"].as_array().expect("a list");
        let found: Vec<&str> = invoices.iter().map(|one| text_of(one, "id")).collect();
        assert_eq!(found, ids, "{status}");
        assert!(
            invoices.iter().all(|one| one["status"] == status),
            "{listed}"
        );
    }
    let all = console.list_invoices("").await.expect("an answer").body;
    let statuses: Vec<&str> = all["invoices"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| text_of(one, "status"))
        .collect();
    assert_eq!(statuses, ["pending", "expired"]);

    let paid = console.pay(id).await.expect("an answer");
    assert_refused(&paid, 409, "invoice_not_pending", "paying");
    let cancelled = console.cancel(id).await.expect("an answer");
    assert_refused(&cancelled, 404, "not found or not pending", "cancelling");
    let replayed = console.create_invoice(&body).await.expect("an answer");
    assert_eq!((replayed.status, &replayed.body), (200, &read.body));

    let mut stream = console.invoice_stream(id).await.expect("a stream");
    let (name, data) = event(&mut stream).await;
    assert_eq!(
        (name.as_str(), &data["status"]),
        ("snapshot", &json!("expired"))
    );
    assert_closed(&mut stream, "nothing follows").await;

    assert_unchanged_by(&before, &deployment, "an expired invoice").await;
    assert_eq!(stored_status(&deployment, id).await, "pending");
    // It leaves room for another one.
    created(&console, &starter()).await;
    finish(deployment).await;
}

#[tokio::test]
async fn the_sweep_ends_invoices_and_tells_their_streams() {
    let builder = Deployment::builder().env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", "50");
    let deployment = start(builder).await;
    let console = user_with(&deployment, 100_000_000).await;
    let kept = invoice(&console, &starter()).await;
    let id = invoice(&console, &starter()).await;
    let mut stream = console.invoice_stream(&id).await.expect("a stream");
    assert_eq!(event(&mut stream).await.0, "snapshot");
    backdate(deployment.pool(), &id).await;

    let (name, data) = event(&mut stream).await;
    assert_eq!(name, "invoice_expired");
    assert_now(&data["at"], "the event");
    let expected = json!({
        "kind": "invoice_expired",
        "invoice_id": id,
        "user_id": console.user_id(),
        "status": "expired",
        "amount_micro": 49_000_000,
        "at": data["at"],
    });
    assert_eq!(data, expected);
    assert_closed(&mut stream, "after the end").await;
    assert_eq!(stored_status(&deployment, &id).await, "expired");

    // Nobody was listening to this one.
    let unheard = invoice(&console, &starter()).await;
    backdate(deployment.pool(), &unheard).await;
    until("the sweep", LIMIT, async || {
        (stored_status(&deployment, &unheard).await == "expired").then_some(())
    })
    .await;
    for id in [&id, &unheard] {
        let paid = console.pay(id).await.expect("an answer");
        assert_refused(&paid, 409, "invoice_not_pending", "paying");
        let cancelled = console.cancel(id).await.expect("an answer");
        assert_refused(&cancelled, 404, "not found or not pending", "cancelling");
    }
    assert_eq!(console.pay(&kept).await.expect("an answer").status, 200);
    finish(deployment).await;
}
