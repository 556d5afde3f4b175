//! Paid in time and seen late is paid: an invoice ends when what had landed by then has been read, or its wait is over.

use shared::chain::Commitment::{Confirmed, Finalized};
use shared::ids::InvoiceId;
use shared::invoices::Rail;
use sqlx::PgPool;

use crate::chain_look::{Look, record, release};
use crate::chain_scene::Scene;
use crate::chain_world::{Effects, account, let_lapse, let_wait, listed, purchase, signature};

/// Before any invoice's end.
const EARLIER: i64 = 5_400;
/// Not before it was seen: the chain's times are whole seconds.
const NOW: i64 = -5;

async fn pay_at(scene: &Scene, invoice: &InvoiceId, units: u64, seconds_ago: i64) -> String {
    let of = signature();
    let look = Look::at(Finalized).landed(seconds_ago);
    let effects = Effects::pays(invoice, units);
    look.record(scene.pool(), &of, &effects).await.unwrap();
    of
}

/// The history of the USDC account was read up to so many seconds from now.
async fn read_until(pool: &PgPool, slot: i64, seconds: i32) {
    sqlx::query(
        "insert into watched_keys (key, start_slot, read_slot, read_until)
         values ($1, 0, $2, now() + make_interval(secs => $3))
         on conflict (key) do update set read_slot = $2, read_until = excluded.read_until",
    )
    .bind(account(Rail::SolSplUsdc).to_string())
    .bind(slot)
    .bind(f64::from(seconds))
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn what_landed_in_time_pays_however_late_it_is_seen() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    let_wait(scene.pool(), &invoice).await;
    assert_eq!(scene.sweep().await, 0);
    pay_at(&scene, &invoice, 50, EARLIER).await;
    scene.expect(&invoice, "paid", 50, 0).await;
    scene.close().await;
}

#[tokio::test]
async fn what_landed_too_late_pays_nothing_though_the_invoice_waits() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    pay_at(&scene, &invoice, 49, EARLIER).await;
    let_wait(scene.pool(), &invoice).await;
    let confirmed = Look::at(Confirmed).landed(NOW);
    let (of, effects) = (signature(), Effects::pays(&invoice, 50));
    confirmed.record(scene.pool(), &of, &effects).await.unwrap();
    // It holds nothing either.
    let held: bool = sqlx::query_scalar("select payment_confirming from invoices where id = $1")
        .bind(invoice.as_str())
        .fetch_one(scene.pool())
        .await
        .unwrap();
    assert!(!held);
    record(scene.pool(), &of, Finalized, &effects).await;
    scene.expect(&invoice, "pending", 99, 50).await;
    // The last part in time does.
    pay_at(&scene, &invoice, 1, EARLIER).await;
    scene.expect(&invoice, "paid", 100, 50).await;
    scene.close().await;
}

#[tokio::test]
async fn after_its_wait_an_invoice_is_not_paid_any_more() {
    let scene = Scene::open().await;
    let (swept, unswept) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(50)).await,
    );
    let_lapse(scene.pool(), &swept).await;
    assert_eq!(scene.sweep().await, 1);
    let_lapse(scene.pool(), &unswept).await;
    pay_at(&scene, &swept, 50, EARLIER).await;
    scene.expect(&swept, "expired", 50, 50).await;
    pay_at(&scene, &unswept, 50, EARLIER).await;
    scene.expect(&unswept, "pending", 50, 100).await;
    assert_eq!(scene.sweep().await, 1);
    scene.close().await;
}

/// Nobody has said when it landed: then it is when it was seen, and what was seen has landed.
#[tokio::test]
async fn without_a_time_of_the_chain_the_time_of_seeing_decides() {
    let scene = Scene::open().await;
    let (seen, unseen) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(50)).await,
    );
    let of = scene.pay(&seen, 50, Confirmed).await;
    for invoice in [&seen, &unseen] {
        let_wait(scene.pool(), invoice).await;
    }
    // A chain's clock that is ahead takes nothing away from what was seen in time.
    let later = Look::at(Finalized).landed(-100);
    let effects = Effects::pays(&seen, 50);
    later.record(scene.pool(), &of, &effects).await.unwrap();
    scene.expect(&seen, "paid", 50, 0).await;
    scene.pay(&unseen, 50, Finalized).await;
    scene.expect(&unseen, "pending", 50, 50).await;
    scene.close().await;
}

#[tokio::test]
async fn an_invoice_ends_once_its_history_was_read_past_its_end() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let (one, two) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(50)).await,
    );
    read_until(pool, 10, -60).await;
    let_wait(pool, &one).await;
    assert_eq!(scene.sweep().await, 0, "it was read up to before its end");
    read_until(pool, 20, 60).await;
    assert_eq!(scene.sweep().await, 1);
    scene.expect(&one, "expired", 0, 0).await;
    scene.expect(&two, "pending", 0, 0).await;
    assert_eq!(scene.sweep().await, 0);
    scene.close().await;
}

#[tokio::test]
async fn what_was_found_and_not_looked_at_yet_holds_the_end_up() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let invoice = scene.bill(purchase(50)).await;
    let_wait(pool, &invoice).await;
    read_until(pool, 20, 60).await;
    let found = "insert into chain_signatures (signature, slot, source, note) values ($1, $2, 'history', $3)";
    for (slot, note, ends) in [(20, None, 0), (21, None, 1), (20, Some("unreadable"), 1)] {
        let of = signature();
        sqlx::query(found)
            .bind(&of)
            .bind(slot)
            .bind(note)
            .execute(pool)
            .await
            .unwrap();
        let invoice = scene.bill(purchase(50)).await;
        let_wait(pool, &invoice).await;
        let swept = scene.sweep().await;
        assert!((swept > 0) == (ends > 0), "{slot} {note:?}: {swept}");
        sqlx::query("update chain_signatures set state = 'done' where signature = $1")
            .bind(&of)
            .execute(pool)
            .await
            .unwrap();
    }
    scene.close().await;
}

/// The sweep has passed it, since its payment was under way; that comes to nothing.
#[tokio::test]
async fn an_invoice_whose_payment_is_gone_ends_though_its_history_was_read() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let (held, other) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(50)).await,
    );
    let of = scene.pay(&held, 50, Confirmed).await;
    for invoice in [&held, &other] {
        let_wait(pool, invoice).await;
    }
    read_until(pool, 20, 60).await;
    assert_eq!(scene.sweep().await, 1, "the other one");
    assert_eq!(scene.sweep().await, 0);
    assert!(crate::chain_look::reverse(pool, &of).await);
    assert_eq!(scene.sweep().await, 1);
    scene.expect(&held, "expired", 0, 0).await;
    scene.close().await;
}

/// Only its own account's history says something about an invoice.
#[tokio::test]
async fn the_history_of_another_account_ends_nothing() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let invoice = scene
        .bill(crate::chain_world::Bill {
            rail: Rail::SolSplUsdt,
            ..purchase(50)
        })
        .await;
    let_wait(pool, &invoice).await;
    read_until(pool, 20, 60).await;
    assert_eq!(scene.sweep().await, 0);
    let_lapse(pool, &invoice).await;
    assert_eq!(scene.sweep().await, 1);
    scene.close().await;
}

/// In time and late parts together: each is what it is.
#[tokio::test]
async fn what_an_invoice_still_asks_for_counts_what_landed_in_time() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let invoice = scene.bill(purchase(50)).await;
    let remaining = async || shared::invoices::progress(pool, &invoice).await.unwrap();
    assert_eq!(remaining().await.remaining_units, 50);
    let part = scene.pay(&invoice, 20, Confirmed).await;
    let seen = remaining().await;
    assert_eq!((seen.remaining_units, seen.remaining_micro), (30, 30));
    assert!(crate::chain_look::reverse(pool, &part).await);
    assert_eq!(remaining().await.remaining_units, 50);
    let states: Vec<(i64, String)> = remaining()
        .await
        .payments
        .into_iter()
        .map(|payment| (payment.amount_micro, payment.state))
        .collect();
    assert_eq!(states, [(20, "reversed".to_owned())]);

    pay_at(&scene, &invoice, 45, EARLIER).await;
    let_wait(pool, &invoice).await;
    pay_at(&scene, &invoice, 5, NOW).await;
    assert_eq!(remaining().await.remaining_units, 5);
    pay_at(&scene, &invoice, 12, EARLIER).await;
    scene.expect(&invoice, "paid", 62, 12).await;
    let paid = remaining().await;
    assert_eq!((paid.remaining_units, paid.remaining_micro), (0, 0));
    let amounts: Vec<i64> = paid
        .payments
        .iter()
        .map(|payment| payment.amount_micro)
        .collect();
    assert_eq!(amounts, [12, 5, 45, 20]);
    assert_eq!(release(pool).await, 0);
    assert_eq!(listed(pool, &part).await, []);
    scene.close().await;
}
