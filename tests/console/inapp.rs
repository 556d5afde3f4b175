//! What the modules about in-app payments share.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::deployment::Builder;
use stack::{Answer, Console, Deployment};

use crate::support::{NEVER_MS, backdate, invoice, starter, topup, with};

/// A node's URL that nobody answers at, with a key that must not be told.
pub const NO_NODE: &str = "http://user:k3y-of-the-node@127.0.0.1:9/k3y-of-the-node";
/// A part of it.
pub const NODE_KEY: &str = "k3y-of-the-node";

/// In-app payments are configured, but the chain is away.
pub fn without_chain() -> Builder {
    Deployment::builder()
        .workers(0)
        .env("SOLANA_RPC_URL", NO_NODE)
        .env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS)
}

pub fn build_path(id: &str) -> String {
    format!("/v1/billing/invoices/{id}/inapp/build")
}

pub fn submit_path(id: &str) -> String {
    format!("/v1/billing/invoices/{id}/inapp/submit")
}

pub async fn build(console: &Console, id: &str, body: &Value) -> Answer {
    let answer = console.raw(Method::POST, &build_path(id), Some(body)).await;
    answer.expect("an answer")
}

pub async fn submit(console: &Console, id: &str, body: &Value) -> Answer {
    let answer = console
        .raw(Method::POST, &submit_path(id), Some(body))
        .await;
    answer.expect("an answer")
}

fn inapp(body: Value) -> Value {
    with(body, &json!({"channel": "crypto-inapp"}))
}

/// A pending in-app invoice.
pub async fn pending(console: &Console) -> String {
    invoice(console, &inapp(starter())).await
}

/// An in-app invoice that was paid from the balance.
pub async fn paid(console: &Console) -> String {
    let id = pending(console).await;
    let paid = console.pay(&id).await.expect("an answer");
    assert_eq!(paid.status, 200, "{}", paid.text);
    id
}

pub async fn cancelled(console: &Console) -> String {
    let id = invoice(console, &inapp(topup(5))).await;
    let answer = console.cancel(&id).await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    id
}

/// An in-app invoice whose time is over, though nobody has noticed.
pub async fn overdue(console: &Console, pool: &PgPool) -> String {
    let id = pending(console).await;
    backdate(pool, &id).await;
    id
}

/// An in-app invoice that has been ended.
pub async fn swept(console: &Console, pool: &PgPool) -> String {
    let id = overdue(console, pool).await;
    set(
        pool,
        &id,
        "update invoices set status = 'expired', version = 2 where id = $1",
    )
    .await;
    id
}

/// A change that only the superuser can make.
pub async fn set(pool: &PgPool, id: &str, statement: &'static str) {
    let changed = sqlx::query(statement).bind(id).execute(pool).await;
    assert_eq!(changed.expect("the superuser may").rows_affected(), 1);
}
