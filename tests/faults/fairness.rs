//! One user who floods keeps nobody else waiting for long.

use std::time::Duration;

use futures::future::join_all;
use sqlx::PgPool;
use tokio::time::sleep;

use crate::support::client::{Verdict, pay_once};
use crate::support::database::{close_gate, open_gate};
use crate::support::queue::{length, pause, pending, set_paused, stream, until_holds};
use crate::support::wait::eventually;
use crate::support::world::{Debtor, PRICE, quick};

const LIMIT: Duration = Duration::from_secs(10);
/// Calls of the one who floods, all at once.
const FLOOD: usize = 60;

/// Debits of one user before the only one of another.
async fn debits_before(pool: &PgPool, flooder: &Debtor, other: &Debtor) -> i64 {
    sqlx::query_scalar(
        "select count(*) from transfers t where t.kind = 'invoice_debit' and t.user_id = $1
         and t.id < (select id from transfers where ref_invoice_id = $2)",
    )
    .bind(flooder.console.user_id())
    .bind(other.invoice())
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Pays all invoices at once.
async fn pay_all(debtor: &Debtor) -> Vec<Verdict> {
    let pay = |invoice| pay_once(&debtor.console, invoice);
    join_all(debtor.invoices.iter().map(String::as_str).map(pay)).await
}

#[tokio::test]
async fn a_flood_of_one_user_lets_others_through() {
    let deployment = quick()
        .env("QUITTANCE_INVOICES_PENDING_MAX", "100")
        .env("QUITTANCE_PAY_SHARDS", "1")
        .env("QUITTANCE_PAY_BATCH_PER_USER_MAX", "4")
        .start()
        .await
        .unwrap();
    let funds = PRICE * i64::try_from(FLOOD).unwrap();
    let flooder = Debtor::create(&deployment, funds, FLOOD).await;
    let other = Debtor::create(&deployment, PRICE, 1).await;
    // All jobs come before the first transaction is over.
    close_gate(deployment.pool()).await;
    pause(&deployment).await;
    let flood = pay_all(&flooder);
    let let_through = async {
        until_holds(&deployment, FLOOD as u64).await;
        // The last in the queue.
        let paying = pay_once(&other.console, other.invoice());
        let resuming = async {
            until_holds(&deployment, FLOOD as u64 + 1).await;
            set_paused(&deployment, false).await;
            eventually("the worker holds all jobs", LIMIT, async || {
                (pending(&deployment).await.ids.len() > FLOOD).then_some(())
            })
            .await;
            // On their way inside the worker from its queue's end to its batches, which cannot be seen from here.
            sleep(Duration::from_secs(1)).await;
            open_gate(deployment.pool()).await;
        };
        let (verdict, ()) = futures::join!(paying, resuming);
        assert!(verdict.is_paid(), "{verdict:?}");
    };
    let (verdicts, ()) = futures::join!(flood, let_through);
    assert!(verdicts.iter().all(Verdict::is_paid));
    // The transaction that was under way, and the one that the other's came with.
    let before = debits_before(deployment.pool(), &flooder, &other).await;
    assert!(before <= 8, "{before} payments of the flood came first");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_flood_waits_in_the_api_and_not_in_the_queue() {
    let deployment = quick()
        .env("QUITTANCE_INVOICES_PENDING_MAX", "100")
        .env("QUITTANCE_PAY_PER_USER_MAX", "5")
        .start()
        .await
        .unwrap();
    let funds = PRICE * i64::try_from(FLOOD).unwrap();
    let flooder = Debtor::create(&deployment, funds, FLOOD).await;
    let other = Debtor::create(&deployment, PRICE, 1).await;
    pause(&deployment).await;
    let flood = pay_all(&flooder);
    let look = async {
        until_holds(&deployment, 5).await;
        let paying = pay_once(&other.console, other.invoice());
        let looking = async {
            until_holds(&deployment, 6).await;
            let mut redis = deployment.redis().await.unwrap();
            assert_eq!(length(&mut redis, &stream(&deployment)).await, 6);
            set_paused(&deployment, false).await;
        };
        let (verdict, ()) = futures::join!(paying, looking);
        assert!(verdict.is_paid(), "{verdict:?}");
    };
    let (verdicts, ()) = futures::join!(flood, look);
    assert!(verdicts.iter().all(Verdict::is_paid));
    deployment.finish().await.unwrap();
}
