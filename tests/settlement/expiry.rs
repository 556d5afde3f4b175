//! The sweep that ends overdue invoices, among more invoices than it may look at.

use shared::ids::{InvoiceId, TraceId};
use shared::settlement::expire;
use sqlx::{PgConnection, PgPool};
use stack::Deployment;

use crate::chain_world::let_lapse;
use crate::model::{Model, ModelInvoice};
use crate::world::{World, pending, rows_read, with_balance};

/// More invoices than the sweep's windows hold, all ended a year ago.
const MANY: i32 = 100_000;
const SOME: i32 = 5_000;
const SWEEPS: usize = 30;
/// What one sweep may read while it catches up, and what afterwards.
const READ_BEHIND_MAX: i64 = 25_000;
const READ_MAX: i64 = 8_000;
const BATCH: i32 = 500;

/// A database with pending invoices, and others that ended a year ago. No worker sweeps it.
async fn ground(invoices: Vec<ModelInvoice>, ended: i32) -> (Deployment, World) {
    let deployment = Deployment::builder().workers(0).start().await.unwrap();
    let model = Model {
        users: vec![with_balance(1_000_000)],
        invoices,
    };
    let world = World::create(deployment.pool(), &model).await;
    sqlx::query(
        "insert into invoices (id, user_id, status, amount_micro, channel, rail, action, plan, months, address,
                               reference_pubkey, created_at, expires_at, grace_until)
         select 'inv_' || left(md5(n::text), 16), $1, 'cancelled', 1, 'crypto-onchain', 'sol-native',
                'subscription_purchase', 'starter', 1, 'address', 'ended ' || n,
                now() - interval '366 days' + n * interval '1 second', now() - interval '365 days' + n * interval '1 second',
                now() - interval '365 days' + n * interval '1 second'
         from generate_series(1, $2) as n",
    )
    .bind(world.users[0].0)
    .bind(ended)
    .execute(deployment.pool())
    .await
    .unwrap();
    (deployment, world)
}

async fn sweep(pool: &PgPool) -> i32 {
    let expired = expire(pool, BATCH, &TraceId::generate()).await.unwrap();
    expired.count
}

/// Sweeps until the last one found nothing; returns how many expired. The slow round then begins anew, so that the next
/// sweep finds nothing by it.
async fn sweep_to_the_end(pool: &PgPool) -> i32 {
    let mut expired = 0;
    for _ in 0..SWEEPS {
        expired += sweep(pool).await;
    }
    sqlx::query("update sweep_cursors set at = '-infinity' where name = 'expiry_round'")
        .execute(pool)
        .await
        .unwrap();
    expired
}

async fn status(pool: &PgPool, invoice: &InvoiceId) -> String {
    sqlx::query_scalar("select status from invoices where id = $1")
        .bind(invoice.as_str())
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Rows of invoices that one sweep reads.
async fn reads(connection: &mut PgConnection) -> i64 {
    let sweep = sqlx::query("select expire_invoices($1, 'test')").bind(BATCH);
    rows_read(connection, "invoices", sweep).await
}

#[tokio::test]
async fn a_sweep_reads_a_few_invoices_however_many_there_are() {
    let (deployment, world) = ground(vec![pending(0, 5)], MANY).await;
    let pool = deployment.pool();
    sqlx::query("analyze invoices").execute(pool).await.unwrap();

    let mut connection = pool.acquire().await.unwrap();
    let mut last = 0;
    for number in 0..SWEEPS {
        last = reads(&mut connection).await;
        assert!(last <= READ_BEHIND_MAX, "sweep {number} reads {last} rows");
    }
    assert!(last <= READ_MAX, "{last} rows are read when nothing is due");

    let_lapse(pool, &world.invoices[0]).await;
    sqlx::query("update sweep_cursors set at = now() - interval '2 hours' where name = 'expiry'")
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(sweep(pool).await, 1);
    assert_eq!(status(pool, &world.invoices[0]).await, "expired");
}

#[tokio::test]
async fn an_invoice_whose_payment_is_gone_expires_though_the_sweep_has_passed_it() {
    let (deployment, world) = ground(vec![pending(0, 5)], SOME).await;
    let pool = deployment.pool();
    let invoice = &world.invoices[0];
    let confirm = "update invoices set payment_confirming = $2 where id = $1";
    let confirming = |is| sqlx::query(confirm).bind(invoice.as_str()).bind(is);
    confirming(true).execute(pool).await.unwrap();
    let_lapse(pool, invoice).await;
    assert_eq!(sweep_to_the_end(pool).await, 0, "its payment is under way");

    confirming(false).execute(pool).await.unwrap();
    assert_eq!(sweep(pool).await, 1);
    assert_eq!(status(pool, invoice).await, "expired");
}

#[tokio::test]
async fn an_invoice_that_somebody_holds_is_not_passed() {
    let (deployment, world) = ground(vec![pending(0, 5), pending(0, 5)], SOME).await;
    let pool = deployment.pool();
    for invoice in &world.invoices {
        let_lapse(pool, invoice).await;
    }
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("select from invoices where id = $1 for update")
        .bind(world.invoices[0].as_str())
        .execute(&mut *holder)
        .await
        .unwrap();
    assert_eq!(sweep_to_the_end(pool).await, 1, "the other one");

    holder.rollback().await.unwrap();
    assert_eq!(sweep(pool).await, 1);
    assert_eq!(status(pool, &world.invoices[0]).await, "expired");
}

#[tokio::test]
async fn more_overdue_invoices_than_one_call_may_end_are_all_ended() {
    let (deployment, world) = ground(vec![pending(0, 5); 7], 0).await;
    let pool = deployment.pool();
    for invoice in &world.invoices {
        let_lapse(pool, invoice).await;
    }
    let mut counts = Vec::new();
    for _ in 0..4 {
        let expired = expire(pool, 3, &TraceId::generate()).await.unwrap();
        counts.push(expired.count);
    }
    assert_eq!(counts, [3, 3, 1, 0]);
}
