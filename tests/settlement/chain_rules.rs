//! What payments on chain lead to, case by case; the numbers are those of the verifier's case list.

use shared::chain::Commitment::{Confirmed, Finalized};
use shared::invoices::Rail;
use shared::settlement::{PayOutcome, SettlementError};

use crate::chain_look::{record, release, reverse, try_record};
use crate::chain_scene::Scene;
use crate::chain_world::{Effects, let_lapse, listed, months, purchase, signature, topup};
use crate::world::{create_user, with_balance};

/// Both invoices are named; the transaction's money is for one of them. The other gets nothing, however it is proven.
#[tokio::test]
async fn case_06_one_signature_pays_one_invoice() {
    let scene = Scene::open().await;
    let (one, two) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(50)).await,
    );
    let of = scene.pay(&one, 50, Finalized).await;
    // What is final stays as it is.
    let claimed = record(scene.pool(), &of, Finalized, &Effects::pays(&two, 50)).await;
    assert_eq!((claimed.paid.len(), claimed.publication), (0, None));
    scene.expect(&one, "paid", 50, 0).await;
    scene.expect(&two, "pending", 0, 0).await;

    // More than was moved, or money of another account, is refused before anything is written.
    let mut more = Effects::pays(&two, 50);
    more.0.credits[0].units = 51;
    let mut other_account = Effects::pays(&two, 50);
    other_account.0.gains.clear();
    let other_rail = Effects::default().and(Rail::SolSplUsdt, &two, 50);
    for wrong in [more, other_account, other_rail] {
        let refused = try_record(scene.pool(), &signature(), Finalized, &wrong, false).await;
        assert!(
            matches!(refused, Err(SettlementError::Database(_))),
            "{refused:?}"
        );
    }
    scene.expect(&two, "pending", 0, 0).await;
    scene.close().await;
}

#[tokio::test]
async fn case_08_a_second_full_payment_is_the_owners_and_settles_nothing() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    scene.pay(&invoice, 50, Finalized).await;
    let again = scene.pay(&invoice, 50, Confirmed).await;
    scene.expect(&invoice, "paid", 100, 0).await;
    record(
        scene.pool(),
        &again,
        Finalized,
        &Effects::pays(&invoice, 50),
    )
    .await;
    scene.expect(&invoice, "paid", 100, 50).await;
    assert_eq!(months(scene.pool(), &[scene.user]).await, [1]);
    scene.close().await;
}

#[tokio::test]
async fn case_09_and_40_money_for_an_expired_invoice_is_the_owners_once() {
    let scene = Scene::open().await;
    let (swept, lapsed) = (scene.bill(purchase(50)).await, scene.bill(topup(20)).await);
    let_lapse(scene.pool(), &swept).await;
    assert_eq!(scene.sweep().await, 1);
    let_lapse(scene.pool(), &lapsed).await;

    let of = scene.pay(&swept, 50, Confirmed).await;
    scene.expect(&swept, "expired", 50, 0).await;
    for _ in 0..3 {
        record(scene.pool(), &of, Finalized, &Effects::pays(&swept, 50)).await;
        scene.expect(&swept, "expired", 50, 50).await;
    }
    // No sweep has seen the other one; its time is over all the same.
    scene.pay(&lapsed, 20, Confirmed).await;
    assert_eq!(scene.sweep().await, 1);
    scene.pay(&lapsed, 20, Finalized).await;
    scene.expect(&lapsed, "expired", 40, 70).await;
    assert_eq!(months(scene.pool(), &[scene.user]).await, [0]);
    scene.close().await;
}

#[tokio::test]
async fn case_12_parts_pay_once_at_the_sum_and_what_follows_is_the_owners() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    scene.pay(&invoice, 49, Finalized).await;
    scene.expect(&invoice, "pending", 49, 0).await;
    scene.pay(&invoice, 1, Finalized).await;
    scene.expect(&invoice, "paid", 50, 0).await;
    scene.pay(&invoice, 1, Finalized).await;
    scene.expect(&invoice, "paid", 51, 1).await;
    assert_eq!(months(scene.pool(), &[scene.user]).await, [1]);
    scene.close().await;
}

#[tokio::test]
async fn case_43_a_payment_that_lands_again_elsewhere_is_credited_once_as_it_is_now() {
    let scene = Scene::open().await;
    let (invoice, other) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(30)).await,
    );
    let of = scene.pay(&invoice, 50, Confirmed).await;
    scene.expect(&invoice, "pending", 50, 0).await;
    assert!(reverse(scene.pool(), &of).await);
    scene.expect(&invoice, "pending", 0, 0).await;
    // On another fork it did something else; what is final counts.
    record(scene.pool(), &of, Confirmed, &Effects::pays(&other, 30)).await;
    scene.expect(&other, "pending", 30, 0).await;
    let at_last = record(scene.pool(), &of, Finalized, &Effects::pays(&invoice, 60)).await;
    assert_eq!(at_last.paid, std::slice::from_ref(&invoice));
    scene.expect(&other, "pending", 0, 10).await;
    scene.expect(&invoice, "paid", 60, 10).await;
    assert!(!reverse(scene.pool(), &of).await);
    scene.close().await;
}

#[tokio::test]
async fn case_44_a_payment_that_is_gone_for_good_leaves_the_invoice_open_or_lets_it_expire() {
    let scene = Scene::open().await;
    let (open, held) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(50)).await,
    );
    let (one, two) = (
        scene.pay(&open, 50, Confirmed).await,
        scene.pay(&held, 50, Confirmed).await,
    );
    let_lapse(scene.pool(), &held).await;
    assert_eq!(scene.sweep().await, 0, "held");
    for of in [&one, &two] {
        assert!(reverse(scene.pool(), of).await);
        assert!(!reverse(scene.pool(), of).await, "once");
    }
    assert!(!reverse(scene.pool(), "unknown").await);
    assert_eq!(scene.sweep().await, 1);
    scene.expect(&held, "expired", 0, 0).await;
    scene.expect(&open, "pending", 0, 0).await;
    scene.pay(&open, 50, Finalized).await;
    scene.expect(&open, "paid", 50, 0).await;
    assert_eq!(listed(scene.pool(), &one).await, []);
    scene.close().await;
}

#[tokio::test]
async fn case_61_confirmed_in_time_and_final_after_it_is_paid() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    let of = scene.pay(&invoice, 50, Confirmed).await;
    let_lapse(scene.pool(), &invoice).await;
    assert_eq!(scene.sweep().await, 0);
    record(scene.pool(), &of, Finalized, &Effects::pays(&invoice, 50)).await;
    scene.expect(&invoice, "paid", 50, 0).await;
    scene.close().await;
}

#[tokio::test]
async fn case_62_money_of_a_cancelled_invoice_is_the_owners_whenever_it_becomes_final() {
    let scene = Scene::open().await;
    let (confirming, part) = (
        scene.bill(purchase(50)).await,
        scene.bill(purchase(50)).await,
    );
    let of = scene.pay(&confirming, 50, Confirmed).await;
    scene.pay(&part, 20, Finalized).await;
    for invoice in [&confirming, &part] {
        assert!(scene.cancel(invoice).await);
        assert!(!scene.cancel(invoice).await);
    }
    assert_eq!(release(scene.pool()).await, 1);
    scene.expect(&part, "cancelled", 20, 20).await;
    record(
        scene.pool(),
        &of,
        Finalized,
        &Effects::pays(&confirming, 50),
    )
    .await;
    scene.expect(&confirming, "cancelled", 50, 70).await;
    assert_eq!(release(scene.pool()).await, 0);
    scene.close().await;
}

#[tokio::test]
async fn a_part_of_the_price_is_the_owners_when_the_time_is_over() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    scene.pay(&invoice, 20, Finalized).await;
    let last = scene.pay(&invoice, 29, Confirmed).await;
    let_lapse(scene.pool(), &invoice).await;
    // Both together are too little: nothing stops the clock, and no sweep is needed to see that.
    assert_eq!(
        scene.pay_from_balance(&invoice).await,
        PayOutcome::InvoiceNotPending
    );
    assert_eq!(release(scene.pool()).await, 1);
    assert_eq!(scene.sweep().await, 1);
    scene.expect(&invoice, "expired", 49, 20).await;
    record(scene.pool(), &last, Finalized, &Effects::pays(&invoice, 29)).await;
    assert_eq!(release(scene.pool()).await, 0);
    scene.expect(&invoice, "expired", 49, 49).await;
    scene.close().await;
}

#[tokio::test]
async fn a_part_comes_back_when_the_rest_is_paid_from_the_balance() {
    let scene = Scene::open().await;
    let user = create_user(scene.pool(), &with_balance(60)).await;
    let scene = Scene { user, ..scene };
    let invoice = scene.bill(purchase(50)).await;
    scene.pay(&invoice, 20, Finalized).await;
    let late = scene.pay(&invoice, 30, Confirmed).await;
    // The price is not split between rails.
    let paid = scene.pay_from_balance(&invoice).await;
    assert_eq!(
        paid,
        PayOutcome::Paid {
            new_balance_micro: 10
        }
    );
    assert_eq!(release(scene.pool()).await, 1);
    scene.expect(&invoice, "paid", 50, 30).await;
    record(scene.pool(), &late, Finalized, &Effects::pays(&invoice, 30)).await;
    scene.expect(&invoice, "paid", 50, 60).await;
    assert_eq!(months(scene.pool(), &[user]).await, [1]);
    scene.close().await;
}
