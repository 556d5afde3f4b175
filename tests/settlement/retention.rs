//! The sweep that deletes old events, beside more young ones than it may look at.

use sqlx::PgPool;
use stack::Deployment;

use crate::world::rows_read;

const YOUNG: i32 = 30_000;
const BATCH: i32 = 100;
/// What is looked at, found, locked and deleted.
const READ_MAX: i64 = 4 * BATCH as i64;

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
