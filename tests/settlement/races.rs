//! Many at once on the same rows: no double debit, no deadlock, nobody's answer wrong.

use futures::future::join_all;
use rand::seq::SliceRandom as _;
use shared::ids::TraceId;
use shared::settlement::{PayOutcome, cancel, expire, settle_from_balance};
use sqlx::PgPool;
use stack::Deployment;

use crate::model::Model;
use crate::world::{World, balance_of, pending, with_balance};

const SESSIONS: usize = 8;

async fn debits(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from transfers where kind = 'invoice_debit'")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Eight sessions settle the same 200 invoices of five users in batches of random order and size.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_want_the_same_invoices_debit_each_once() {
    let deployment = Deployment::builder().start().await.unwrap();
    let pool = deployment.pool();
    let invoices = (0..200).map(|index| pending(index % 5, 1)).collect();
    let model = Model {
        users: vec![with_balance(1000); 5],
        invoices,
    };
    let world = World::create(pool, &model).await;

    let sessions = (0..SESSIONS).map(|session| {
        let mut order: Vec<usize> = (0..200).collect();
        order.shuffle(&mut rand::rng());
        let world = &world;
        async move {
            for batch in order.chunks(1 + session * 7) {
                let requests: Vec<_> = batch
                    .iter()
                    .map(|invoice| world.request(*invoice, invoice % 5))
                    .collect();
                let settled = settle_from_balance(pool, &requests).await.unwrap();
                assert!(
                    settled
                        .outcomes
                        .iter()
                        .all(|outcome| matches!(outcome, PayOutcome::Paid { .. }))
                );
            }
        }
    });
    join_all(sessions).await;

    assert_eq!(debits(pool).await, 200);
    for user in &world.users {
        assert_eq!(balance_of(pool, *user).await, 960);
    }
    deployment.finish().await.unwrap();
}

/// Paying, cancelling and expiring meet on the same invoices: one of them wins each, and every answer says who.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_has_one_end() {
    let deployment = Deployment::builder().start().await.unwrap();
    let pool = deployment.pool();
    let model = Model {
        users: vec![with_balance(1000)],
        invoices: (0..120).map(|_| pending(0, 1)).collect(),
    };
    let world = World::create(pool, &model).await;
    sqlx::query(
        "update invoices i set expires_at = e.at, grace_until = e.at
         from (select id, clock_timestamp() + random() * interval '0.6 seconds' as at from invoices) as e
         where e.id = i.id",
    )
    .execute(pool)
    .await
    .unwrap();

    let trace = TraceId::generate();
    let ends = (0..120).map(|index| {
        let (world, trace) = (&world, &trace);
        async move {
            let request = [world.request(index, 0)];
            let (paid, cancelled, _) = tokio::join!(
                settle_from_balance(pool, &request),
                cancel(pool, &world.invoices[index], world.users[0], trace),
                expire(pool, 10, trace),
            );
            (
                paid.unwrap().outcomes.remove(0),
                cancelled.unwrap().is_some(),
            )
        }
    });
    let answers = join_all(ends).await;
    while expire(pool, 500, &trace).await.unwrap().count > 0 {}

    let mut paid_count = 0;
    for (id, (paid, cancelled)) in world.invoices.iter().zip(answers) {
        let status: String =
            sqlx::query_scalar("select effective_status(i, now()) from invoices i where id = $1")
                .bind(id.as_str())
                .fetch_one(pool)
                .await
                .unwrap();
        let expected = match (&paid, cancelled) {
            (PayOutcome::Paid { .. }, false) => "paid",
            (PayOutcome::InvoiceNotPending, true) => "cancelled",
            (PayOutcome::InvoiceNotPending, false) => "expired",
            other => panic!("{id}: {other:?}"),
        };
        assert_eq!(status, expected, "{id}");
        paid_count += i64::from(expected == "paid");
    }
    assert_eq!(debits(pool).await, paid_count);
    assert_eq!(balance_of(pool, world.users[0]).await, 1000 - paid_count);
    deployment.finish().await.unwrap();
}
