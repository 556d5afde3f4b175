//! Taking over what a dead watcher was examining, among more signatures than that may read.

use sqlx::PgPool;
use stack::Deployment;
use uuid::Uuid;

use crate::world::rows_read;

const EXAMINED: i32 = 30_000;
const HELD: i32 = 5;
/// What is found, locked and changed.
const READ_MAX: i64 = 8 * HELD as i64;
const RELEASE: &str = "select release_signatures(interval '6 seconds')";

/// So many signatures, taken by this watcher for an hour, or done and taken by nobody.
async fn keep_signatures(pool: &PgPool, name: &str, count: i32, watcher: Option<Uuid>) {
    sqlx::query(
        "insert into chain_signatures (signature, source, state, next_at, taken_by)
         select $1 || n, 'history', case when $3::uuid is null then 'done' else 'found' end,
                now() + interval '1 hour', $3
         from generate_series(1, $2) as n",
    )
    .bind(name)
    .bind(count)
    .bind(watcher)
    .execute(pool)
    .await
    .unwrap();
}

/// Whose signatures of this name are taken, and how many are due.
async fn standing(pool: &PgPool, name: &str) -> (i64, i64) {
    sqlx::query_as(
        "select count(taken_by), count(*) filter (where next_at <= now()) from chain_signatures
         where starts_with(signature, $1)",
    )
    .bind(name)
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_a_dead_watcher_held_is_due_at_once_and_nothing_else_is_read() {
    let deployment = Deployment::builder().workers(0).start().await.unwrap();
    let pool = deployment.pool();
    let [alive, silent, gone] = [(); 3].map(|()| Uuid::new_v4());
    for (id, seconds) in [(alive, 1.0), (silent, 60.0)] {
        sqlx::query(
            "insert into watchers (id, seen_at) values ($1, now() - make_interval(secs => $2))",
        )
        .bind(id)
        .bind(seconds)
        .execute(pool)
        .await
        .unwrap();
    }
    keep_signatures(pool, "examined", EXAMINED, None).await;
    keep_signatures(pool, "alive", HELD, Some(alive)).await;
    keep_signatures(pool, "silent", HELD, Some(silent)).await;
    keep_signatures(pool, "gone", HELD, Some(gone)).await;

    let mut connection = pool.acquire().await.unwrap();
    for _ in 0..7 {
        let release = sqlx::query(RELEASE);
        let read = rows_read(&mut connection, "chain_signatures", release).await;
        assert!(read <= READ_MAX, "{read} rows are read");
    }

    let held = i64::from(HELD);
    assert_eq!(standing(pool, "alive").await, (held, 0));
    assert_eq!(standing(pool, "silent").await, (0, held));
    assert_eq!(standing(pool, "gone").await, (0, held));
    assert_eq!(standing(pool, "examined").await, (0, 0));
}
