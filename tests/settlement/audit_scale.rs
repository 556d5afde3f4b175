//! The audit on a ledger that grew since the planner last looked.

use std::time::Duration;

use shared::ledger::audit;
use shared::settlement::settle_from_balance;
use stack::Deployment;

use crate::model::Model;
use crate::world::{World, with_balance};

const PAYMENTS: i32 = 20_000;
const BATCH: usize = 250;

/// Joined row by row, this ledger would take minutes; the statement timeout of the pool's session is seconds.
#[tokio::test]
async fn the_audit_copes_with_a_ledger_that_the_planner_believes_empty() {
    let deployment = Deployment::builder().workers(0).start().await.unwrap();
    let pool = deployment.pool();
    let user_count = 20;
    let model = Model {
        users: vec![with_balance(1_000_000); user_count],
        invoices: Vec::new(),
    };
    let mut world = World::create(pool, &model).await;
    for user in &world.users {
        let ids: Vec<String> = sqlx::query_scalar(
            "insert into invoices (id, user_id, amount_micro, channel, rail, action, plan, months, address,
                                   reference_pubkey, expires_at, grace_until)
             select 'inv_' || substr(md5($1::text || n), 1, 16), $1, 1, 'crypto-onchain', 'sol-native',
                    'subscription_purchase', 'starter', 1, 'address', $1::text || n, now() + interval '1 hour',
                    now() + interval '1 hour'
             from generate_series(1, $2) as n returning id",
        )
        .bind(user.0)
        .bind(PAYMENTS / 20)
        .fetch_all(pool)
        .await
        .unwrap();
        world
            .invoices
            .extend(ids.into_iter().map(shared::ids::InvoiceId::from_row));
    }
    let per_user = world.invoices.len() / user_count;
    let requests: Vec<_> = (0..world.invoices.len())
        .map(|index| world.request(index, index / per_user))
        .collect();
    for batch in requests.chunks(BATCH) {
        settle_from_balance(pool, batch).await.unwrap();
    }
    // Nobody has published these events; that is not what this test is about.
    sqlx::query("select mark_published(array_agg(id)) from outbox_batches")
        .execute(pool)
        .await
        .unwrap();

    let bounded = tokio::time::timeout(
        Duration::from_secs(30),
        audit(pool, Duration::from_secs(20)),
    )
    .await;
    let audited = bounded
        .expect("the audit must not join row by row")
        .unwrap();
    assert!(audited.ok, "{audited:?}");
    deployment.finish().await.unwrap();
}
