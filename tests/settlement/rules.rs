//! Rules that a table shows better than a property.

use shared::ids::TraceId;
use shared::settlement::{cancel, expire, settle_from_balance};
use sqlx::PgPool;
use stack::Deployment;

use crate::chain_world::let_lapse;
use crate::model::{Model, Standing};
use crate::world::{World, create_invoice, create_user, pending, with_balance};

async fn refused(pool: &PgPool, statement: &'static str) -> String {
    sqlx::query(statement)
        .execute(pool)
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn history_and_final_states_cannot_be_rewritten_even_by_the_owner() {
    let deployment = Deployment::builder().start().await.unwrap();
    let pool = deployment.pool();
    let model = Model {
        users: vec![with_balance(100)],
        invoices: vec![pending(0, 60), pending(0, 10)],
    };
    let world = World::create(pool, &model).await;
    settle_from_balance(pool, &[world.request(0, 0)])
        .await
        .unwrap();

    assert!(
        refused(pool, "update transfers set amount_micro = 1")
            .await
            .contains("append-only")
    );
    assert!(
        refused(pool, "delete from transfers")
            .await
            .contains("append-only")
    );
    assert!(
        refused(pool, "truncate transfers cascade")
            .await
            .contains("append-only")
    );
    let reopened = refused(
        pool,
        "update invoices set status = 'pending', paid_at = null, processed_at = null where status = 'paid'",
    );
    assert!(reopened.await.contains("stays so"));
    let unpaid = refused(
        pool,
        "update invoices set status = 'paid' where status = 'pending'",
    )
    .await;
    assert!(unpaid.contains("invoices_sound"), "{unpaid}");
    let overdrawn = refused(pool, "update balances set amount_micro = -1").await;
    assert!(
        overdrawn.contains("balances_amount_not_negative"),
        "{overdrawn}"
    );
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn renewals_prolong_from_one_anchor_however_they_are_batched() {
    let deployment = Deployment::builder().start().await.unwrap();
    let pool = deployment.pool();
    let model = Model {
        users: vec![with_balance(100)],
        invoices: (0..5).map(|_| pending(0, 1)).collect(),
    };
    let (batched, single) = (
        World::create(pool, &model).await,
        World::create(pool, &model).await,
    );
    let all: Vec<_> = (0..5).map(|invoice| batched.request(invoice, 0)).collect();
    settle_from_balance(pool, &all).await.unwrap();
    for invoice in 0..5 {
        settle_from_balance(pool, &[single.request(invoice, 0)])
            .await
            .unwrap();
    }
    for world in [&batched, &single] {
        let (months, purchased, exact): (i32, i64, bool) = sqlx::query_as(
            "select months_total, months_purchased, active_until = anchor_at + interval '5 months'
             from subscriptions where user_id = $1 and plan = 'starter'",
        )
        .bind(world.users[0].0)
        .fetch_one(pool)
        .await
        .unwrap();
        assert_eq!((months, purchased, exact), (5, 5, true));
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_lapsed_subscription_starts_over_and_still_counts_what_was_bought() {
    let deployment = Deployment::builder().start().await.unwrap();
    let pool = deployment.pool();
    let model = Model {
        users: vec![with_balance(100)],
        invoices: vec![pending(0, 1), pending(0, 1)],
    };
    let world = World::create(pool, &model).await;
    settle_from_balance(pool, &[world.request(0, 0)])
        .await
        .unwrap();
    sqlx::query("update subscriptions set anchor_at = anchor_at - interval '1 year', active_until = now() - interval '1 second'")
        .execute(pool)
        .await
        .unwrap();
    settle_from_balance(pool, &[world.request(1, 0)])
        .await
        .unwrap();
    let (months, purchased, fresh): (i32, i64, bool) = sqlx::query_as(
        "select months_total, months_purchased, anchor_at > now() - interval '1 minute' from subscriptions",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!((months, purchased, fresh), (1, 2, true));
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn every_payment_leaves_its_two_events_in_ledger_order() {
    let deployment = Deployment::builder().start().await.unwrap();
    let pool = deployment.pool();
    let model = Model {
        users: vec![with_balance(100)],
        invoices: (0..4).map(|_| pending(0, 5)).collect(),
    };
    let world = World::create(pool, &model).await;
    let requests: Vec<_> = (0..4)
        .rev()
        .map(|invoice| world.request(invoice, 0))
        .collect();
    settle_from_balance(pool, &requests).await.unwrap();

    let topic = format!("balance:{}", world.users[0]);
    let positions: Vec<(i64, i64, String)> = sqlx::query_as(
        "select (message->>'previous')::bigint, (message->>'position')::bigint, message->'data'->>'new_balance'
         from outbox where topic = $1 order by batch_id, id",
    )
    .bind(&topic)
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(positions.first().map(|(previous, ..)| *previous), Some(0));
    assert!(
        positions.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "{positions:?}"
    );
    let balances: Vec<&str> = positions
        .iter()
        .map(|(.., balance)| balance.as_str())
        .collect();
    assert_eq!(balances, ["100", "95", "90", "85", "80"]);
    for invoice in &world.invoices {
        let kinds: Vec<String> = sqlx::query_scalar(
            "select message->>'kind' from outbox where topic = 'invoice:' || $1",
        )
        .bind(invoice.as_str())
        .fetch_all(pool)
        .await
        .unwrap();
        assert_eq!(kinds, ["invoice_paid"]);
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn an_overdue_invoice_is_found_wherever_the_sweep_already_was() {
    let deployment = Deployment::builder()
        .env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", "86400000")
        .start()
        .await
        .unwrap();
    let pool = deployment.pool();
    let user = create_user(pool, &with_balance(0)).await;
    // The first call moves the cursor to now; the invoice below lies behind it.
    expire(pool, 10, &TraceId::generate()).await.unwrap();
    let overdue = crate::model::ModelInvoice {
        standing: Standing::Overdue,
        ..pending(0, 1)
    };
    create_invoice(pool, user, &overdue).await;
    let expired = expire(pool, 10, &TraceId::generate()).await.unwrap();
    assert_eq!(expired.count, 1);
    assert_eq!(
        expired
            .publication
            .map(|publication| publication.events.len()),
        Some(1)
    );
    assert_eq!(
        expire(pool, 10, &TraceId::generate()).await.unwrap().count,
        0
    );
    deployment.finish().await.unwrap();
}

/// A settlement function's row may arrive before its transaction commits; a failing commit must not read as success.
#[tokio::test]
async fn nothing_counts_before_the_commit() {
    let deployment = Deployment::builder().workers(0).start().await.unwrap();
    let pool = deployment.pool();
    let model = Model {
        users: vec![with_balance(100)],
        invoices: (0..60).map(|_| pending(0, 1)).collect(),
    };
    let world = World::create(pool, &model).await;
    let (user, overdue) = (world.users[0], world.invoices[1].clone());
    let_lapse(pool, &overdue).await;
    for statement in [
        "create function refuse_commit() returns trigger language plpgsql as
         $$ begin raise exception 'refused at commit'; end $$",
        "create constraint trigger late after insert on outbox_batches deferrable initially deferred
         for each row execute function refuse_commit()",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }

    let trace = TraceId::generate();
    let requests: Vec<_> = (2..60).map(|invoice| world.request(invoice, 0)).collect();
    let refused = [
        settle_from_balance(pool, &requests).await.map(|_| ()),
        cancel(pool, &world.invoices[0], user, &trace)
            .await
            .map(|_| ()),
        expire(pool, 10, &trace).await.map(|_| ()),
    ];
    for (index, outcome) in refused.into_iter().enumerate() {
        assert!(
            outcome.is_err(),
            "call {index} reported success before its commit, which failed"
        );
    }
    let changed: i64 =
        sqlx::query_scalar("select count(*) from invoices where status <> 'pending'")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(changed, 0);
    deployment.finish().await.unwrap();
}
