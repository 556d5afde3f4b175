//! The sweep that deletes old events and submissions, beside more young ones than it may look at.

use shared::ids::InvoiceId;
use sqlx::PgPool;
use stack::Deployment;

use crate::model::{Model, ModelInvoice, Standing};
use crate::world::{World, pending, rows_read, with_balance};

const YOUNG: i32 = 30_000;
const BATCH: i32 = 100;
/// What is looked at, found, locked and deleted.
const READ_MAX: i64 = 4 * BATCH as i64;

const RETIRE_SUBMISSIONS: &str = "select retire_submissions(now() - interval '30 days', $1)";

async fn keep_events(pool: &PgPool, count: i32, age_days: i32) {
    sqlx::query(
        "insert into outbox_batches (topics, messages, created_at, published_at)
         select '{}', '{}', now() - make_interval(days => $2), now() from generate_series(1, $1)",
    )
    .bind(count)
    .bind(age_days)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn old_events_are_deleted_and_young_ones_not_even_read() {
    let deployment = Deployment::builder().workers(0).start().await.unwrap();
    let pool = deployment.pool();
    keep_events(pool, BATCH + 50, 40).await;
    keep_events(pool, YOUNG, 1).await;
    sqlx::query("analyze outbox_batches")
        .execute(pool)
        .await
        .unwrap();

    let mut connection = pool.acquire().await.unwrap();
    for left in [YOUNG + 50, YOUNG, YOUNG, YOUNG, YOUNG, YOUNG, YOUNG] {
        let retire =
            sqlx::query("select retire_events(now() - interval '30 days', $1)").bind(BATCH);
        let read = rows_read(&mut connection, "outbox_batches", retire).await;
        assert!(read <= READ_MAX, "{read} rows are read");
        let count: i64 = sqlx::query_scalar("select count(*) from outbox_batches")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(count, i64::from(left));
    }
}

/// So many transactions in one state, and signatures beside them, submitted for an invoice.
async fn keep_submissions(
    pool: &PgPool,
    invoice: &InvoiceId,
    state: &str,
    count: i32,
    age_days: i32,
) {
    for statement in [
        "insert into relay_transactions (invoice_id, signature, wire, created_at, state)
         select $1, concat_ws(' ', $1, $2, $4, n), '', now() - make_interval(days => $4), $2
         from generate_series(1, $3) as n",
        "insert into submitted_signatures (invoice_id, signature, at)
         select $1, concat_ws(' ', $1, $2, $4, n), now() - make_interval(days => $4)
         from generate_series(1, $3) as n",
    ] {
        sqlx::query(statement)
            .bind(invoice.as_str())
            .bind(state)
            .bind(count)
            .bind(age_days)
            .execute(pool)
            .await
            .unwrap();
    }
}

/// What is left of an invoice's submissions: transactions and signatures.
async fn submissions(pool: &PgPool, invoice: &InvoiceId) -> (i64, i64) {
    sqlx::query_as(
        "select (select count(*) from relay_transactions where invoice_id = $1),
                (select count(*) from submitted_signatures where invoice_id = $1)",
    )
    .bind(invoice.as_str())
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn old_submissions_of_ended_invoices_are_deleted_and_young_ones_not_even_read() {
    let deployment = Deployment::builder().workers(0).start().await.unwrap();
    let pool = deployment.pool();
    let cancelled = ModelInvoice {
        standing: Standing::Cancelled,
        ..pending(0, 5)
    };
    let model = Model {
        users: vec![with_balance(0)],
        invoices: vec![cancelled.clone(), cancelled, pending(0, 5)],
    };
    let invoices = World::create(pool, &model).await.invoices;
    let [ended, broadcast, open] = [&invoices[0], &invoices[1], &invoices[2]];
    keep_submissions(pool, ended, "failed", BATCH + 50, 40).await;
    keep_submissions(pool, ended, "finalized", YOUNG, 1).await;
    keep_submissions(pool, broadcast, "sending", 1, 40).await;
    keep_submissions(pool, open, "expired", 3, 40).await;
    sqlx::query("analyze relay_transactions, submitted_signatures")
        .execute(pool)
        .await
        .unwrap();

    let mut connection = pool.acquire().await.unwrap();
    for left in [YOUNG + 50, YOUNG, YOUNG, YOUNG, YOUNG, YOUNG, YOUNG] {
        for table in ["relay_transactions", "submitted_signatures"] {
            let mut dry_run = sqlx::Connection::begin(&mut *connection).await.unwrap();
            let retire = sqlx::query(RETIRE_SUBMISSIONS).bind(BATCH);
            let read = rows_read(&mut dry_run, table, retire).await;
            assert!(read <= READ_MAX, "{read} rows of {table} are read");
            dry_run.rollback().await.unwrap();
        }
        sqlx::query(RETIRE_SUBMISSIONS)
            .bind(BATCH)
            .execute(&mut *connection)
            .await
            .unwrap();
        // The signature beside a transaction that is still sent goes with the others.
        let left = i64::from(left);
        assert_eq!(submissions(pool, ended).await, (left, left));
    }
    assert_eq!(submissions(pool, broadcast).await, (1, 0));
    assert_eq!(submissions(pool, open).await, (3, 3));
}
