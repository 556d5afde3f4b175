//! What the books must say in the end, exactly.

use serde_json::Value;
use stack::Deployment;

use crate::scene::Bill;
use crate::waiting::{until, until_status};

/// Waits until these invoices are paid and everything is published; then each was paid by one credit, one transfer and
/// one event, and nothing else moved money.
pub async fn until_paid_once(deployment: &Deployment, bills: &[&Bill]) {
    for bill in bills {
        until_status(bill, "paid").await;
        assert_eq!(balance(bill).await, bill.micro, "{}", bill.id);
        assert_eq!(events(deployment, bill, "invoice_paid").await, 1);
        assert_eq!(credits(deployment, bill).await, [bill.micro]);
    }
    let count = i64::try_from(bills.len()).unwrap();
    let sum: i64 = bills.iter().map(|bill| bill.micro).sum();
    assert_eq!(moved(deployment).await, (count, sum));
    until_published(deployment).await;
}

/// How many transfers there are, and their sum.
pub async fn moved(deployment: &Deployment) -> (i64, i64) {
    sqlx::query_as("select count(*), coalesce(sum(amount_micro), 0)::bigint from transfers")
        .fetch_one(deployment.pool())
        .await
        .unwrap()
}

/// The base units of the invoice's final credits.
pub async fn credits(deployment: &Deployment, bill: &Bill) -> Vec<i64> {
    sqlx::query_scalar(
        "select units from chain_credits where invoice_id = $1 and state = 'finalized' order by id",
    )
    .bind(&bill.id)
    .fetch_all(deployment.pool())
    .await
    .unwrap()
}

/// How many events of a kind the invoice had.
pub async fn events(deployment: &Deployment, bill: &Bill, kind: &str) -> i64 {
    sqlx::query_scalar("select count(*) from outbox where topic = $1 and message->>'kind' = $2")
        .bind(format!("invoice:{}", bill.id))
        .bind(kind)
        .fetch_one(deployment.pool())
        .await
        .unwrap()
}

/// Waits until every event was published.
pub async fn until_published(deployment: &Deployment) {
    until("everything is published", async || {
        let open: i64 =
            sqlx::query_scalar("select count(*) from outbox_batches where published_at is null")
                .fetch_one(deployment.pool())
                .await
                .unwrap();
        (open == 0).then_some(())
    })
    .await;
}

/// The balance of whoever is to pay.
pub async fn balance(bill: &Bill) -> i64 {
    let answer = bill.console.balance().await.unwrap();
    answer.body["amount_micro"].as_i64().unwrap()
}

/// Nothing was seen of the invoice, and no money of its user moved.
pub async fn assert_untouched(deployment: &Deployment, bill: &Bill) {
    let invoice = bill.now().await;
    let stands = (&invoice["status"], &invoice["payments_received_micro"]);
    assert_eq!(stands, (&Value::from("pending"), &Value::from(0)));
    assert_eq!(balance(bill).await, 0);
    assert_eq!(credits(deployment, bill).await, [0_i64; 0]);
    assert_eq!(events(deployment, bill, "invoice_progress").await, 0);
}

/// What waits for an operator: signatures and reasons.
pub async fn listed(deployment: &Deployment) -> Vec<(String, String)> {
    let path = "/ops/v1/unattributed";
    let answer = deployment.operator().raw(reqwest::Method::GET, path, None);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = answer.body["unattributed"].as_array().unwrap();
    rows.iter()
        .map(|row| (text(row, "signature"), text(row, "reason")))
        .collect()
}
