//! What cannot be settled is set aside, listed and tried again, and stops nobody.

use shared::chain::Commitment::Finalized;
use shared::ids::InvoiceId;
use shared::invoices::Rail;
use sqlx::PgPool;

use crate::chain_look::{HIGH_PRICE, hurry, record, release, release_at};
use crate::chain_order::{BALANCE_MAX, NOT_CREDITABLE};
use crate::chain_scene::Scene;
use crate::chain_world::{
    Effects, assert_audited, bill, let_lapse, listed, purchase, quiet_deployment, signature,
    standing, topup,
};
use crate::world::{balance_of, create_user, rows_read, with_balance};

/// The reasons for which a transaction is listed.
async fn reasons(pool: &PgPool, of: &str) -> Vec<(i64, String)> {
    let rows = listed(pool, of).await.into_iter();
    rows.map(|(_, units, reason, ..)| (units, reason)).collect()
}

fn aside(units: i64) -> Vec<(i64, String)> {
    vec![(units, NOT_CREDITABLE.to_owned())]
}

async fn adjust(scene: &Scene, delta_micro: i64) {
    sqlx::query("select adjust_balance($1, $2, 'a test', $2::text, 'test')")
        .bind(scene.user.0)
        .bind(delta_micro)
        .execute(scene.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn one_balance_that_is_full_stops_nobody_else() {
    let deployment = quiet_deployment().await;
    let pool = deployment.pool();
    let full = create_user(pool, &with_balance(BALANCE_MAX - 5)).await;
    let other = create_user(pool, &with_balance(0)).await;
    let mut parts: Vec<(InvoiceId, String)> = Vec::new();
    for owner in [full, other, full, other] {
        let invoice = bill(pool, owner, purchase(50)).await;
        let of = signature();
        record(pool, &of, Finalized, &Effects::pays(&invoice, 20)).await;
        let_lapse(pool, &invoice).await;
        parts.push((invoice, of));
    }
    assert_eq!(release(pool).await, 4);
    assert_eq!(balance_of(pool, other).await, 40);
    assert_eq!(balance_of(pool, full).await, BALANCE_MAX - 5);
    for (_, of) in [&parts[0], &parts[2]] {
        assert_eq!(reasons(pool, of).await, aside(20));
    }
    // They are tried again later, not with each call.
    assert_eq!(release(pool).await, 0);
    sqlx::query("select adjust_balance($1, -100, 'spent', 'spent', 'test')")
        .bind(full.0)
        .execute(pool)
        .await
        .unwrap();
    hurry(pool).await;
    assert_eq!(release(pool).await, 2);
    assert_eq!(balance_of(pool, full).await, BALANCE_MAX - 65);
    for (_, of) in &parts {
        assert_eq!(reasons(pool, of).await, [], "struck off");
    }
    assert_audited(pool).await;
    deployment.finish().await.unwrap();
}

/// The payment is recorded and waits; its time does not run out meanwhile.
#[tokio::test]
async fn a_top_up_whose_owner_can_have_no_more_waits_and_is_paid_at_last() {
    let scene = Scene::open().await;
    adjust(&scene, BALANCE_MAX - 5).await;
    let invoice = scene.bill(topup(50)).await;
    let of = scene.pay(&invoice, 50, Finalized).await;
    scene.expect(&invoice, "pending", 50, BALANCE_MAX - 5).await;
    assert_eq!(reasons(scene.pool(), &of).await, aside(50));
    let_lapse(scene.pool(), &invoice).await;
    assert_eq!(scene.sweep().await, 0, "it was paid in time");

    hurry(scene.pool()).await;
    assert_eq!(release(scene.pool()).await, 1);
    scene.expect(&invoice, "pending", 50, BALANCE_MAX - 5).await;
    adjust(&scene, -45).await;
    hurry(scene.pool()).await;
    assert_eq!(release(scene.pool()).await, 1);
    scene.expect(&invoice, "paid", 50, BALANCE_MAX).await;
    assert_eq!(reasons(scene.pool(), &of).await, []);
    scene.close().await;
}

/// What pays is not held up by what is too much.
#[tokio::test]
async fn a_purchase_is_paid_though_its_surplus_can_go_nowhere() {
    let scene = Scene::open().await;
    adjust(&scene, BALANCE_MAX - 5).await;
    let invoice = scene.bill(purchase(50)).await;
    let of = scene.pay(&invoice, 60, Finalized).await;
    scene.expect(&invoice, "paid", 60, BALANCE_MAX - 5).await;
    assert_eq!(reasons(scene.pool(), &of).await, aside(10));
    adjust(&scene, -5).await;
    hurry(scene.pool()).await;
    assert_eq!(release(scene.pool()).await, 1);
    scene.expect(&invoice, "paid", 60, BALANCE_MAX).await;
    assert_eq!(reasons(scene.pool(), &of).await, []);
    scene.close().await;
}

/// One transaction, two invoices: the one that cannot be settled does not fail the other.
#[tokio::test]
async fn an_invoice_that_fails_fails_no_other_of_its_transaction() {
    let scene = Scene::open().await;
    let broken = scene.bill(purchase(50)).await;
    let sound = scene.bill(purchase(30)).await;
    sqlx::query("update invoices set months = 12 where id = $1")
        .bind(broken.as_str())
        .execute(scene.pool())
        .await
        .unwrap();
    for statement in [
        "create function refuse_year() returns trigger language plpgsql as
         $$ begin raise exception 'no years' using errcode = 'check_violation'; end $$",
        "create trigger no_years before insert on subscriptions for each row
         when (new.months_total = 12) execute function refuse_year()",
    ] {
        sqlx::query(statement).execute(scene.pool()).await.unwrap();
    }
    let effects = Effects::pays(&broken, 50).and(Rail::SolSplUsdc, &sound, 30);
    let of = signature();
    let recorded = record(scene.pool(), &of, Finalized, &effects).await;
    assert_eq!(recorded.paid, std::slice::from_ref(&sound));
    assert_eq!(
        standing(scene.pool(), &broken).await,
        ("pending".to_owned(), 50)
    );
    assert_eq!(reasons(scene.pool(), &of).await, aside(50));

    sqlx::query("drop trigger no_years on subscriptions")
        .execute(scene.pool())
        .await
        .unwrap();
    hurry(scene.pool()).await;
    assert_eq!(release(scene.pool()).await, 1);
    scene.expect(&broken, "paid", 50, 0).await;
    scene.close().await;
}

/// More than one call takes are set aside, and what comes after them is settled all the same.
#[tokio::test]
async fn what_is_set_aside_never_fills_a_batch_and_history_is_not_read() {
    let scene = Scene::open().await;
    adjust(&scene, BALANCE_MAX).await;
    for _ in 0..150 {
        let invoice = scene.bill(purchase(50)).await;
        assert!(scene.cancel(&invoice).await);
        scene.pay(&invoice, 20, Finalized).await;
    }
    hurry(scene.pool()).await;
    let other = create_user(scene.pool(), &with_balance(0)).await;
    let part = bill(scene.pool(), other, purchase(50)).await;
    record(
        scene.pool(),
        &signature(),
        Finalized,
        &Effects::pays(&part, 20),
    )
    .await;
    let_lapse(scene.pool(), &part).await;
    assert_eq!(release_at(scene.pool(), HIGH_PRICE).await, 151);
    assert_eq!(balance_of(scene.pool(), other).await, 20);

    let mut connection = scene.pool().acquire().await.unwrap();
    for _ in 0..7 {
        let look = sqlx::query("select settle_ended_invoices(100, 1, 'test')");
        let read = rows_read(&mut connection, "chain_credits", look).await;
        assert!(read <= 2, "{read} rows are read when nothing is due");
    }
    drop(connection);
    scene.close().await;
}
