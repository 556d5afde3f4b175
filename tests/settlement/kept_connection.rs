//! A connection that a task keeps may end while nobody uses it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared::settlement::{KeptConnection, Repeatable, SettlementError};
use sqlx::{PgConnection, PgPool};

use crate::chain_world::quiet_deployment;

/// Longer than a connection is trusted without having been used.
const IDLE: Duration = Duration::from_millis(150);

/// Tells which server process carries it out.
#[derive(Default)]
struct Backend {
    tries: AtomicUsize,
}

impl Repeatable for Backend {
    type Done = i32;

    async fn carry_out(&self, connection: &mut PgConnection) -> Result<i32, SettlementError> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        let pid = sqlx::query_scalar("select pg_backend_pid()");
        Ok(pid.fetch_one(connection).await?)
    }
}

async fn terminate(pool: &PgPool, pid: i32) {
    let ended: bool = sqlx::query_scalar("select pg_terminate_backend($1, 10000)")
        .bind(pid)
        .fetch_one(pool)
        .await
        .unwrap();
    assert!(ended);
}

#[tokio::test]
async fn what_finds_its_idle_connection_dead_is_carried_out_on_another_one() {
    let deployment = quiet_deployment().await;
    let pool = deployment.pool();
    let own = PgPool::connect_with((*pool.connect_options()).clone())
        .await
        .unwrap();
    let mut kept = KeptConnection::new(own, Duration::from_secs(10));
    let work = Backend::default();
    let first = kept.carry_out(&work).await.unwrap();
    assert_eq!(
        kept.carry_out(&work).await.unwrap(),
        first,
        "the same is kept"
    );
    terminate(pool, first).await;
    tokio::time::sleep(IDLE).await;

    let second = kept.carry_out(&work).await.unwrap();

    assert_ne!(second, first);
    assert_eq!(work.tries.load(Ordering::Relaxed), 4);
    deployment.finish().await.unwrap();
}
