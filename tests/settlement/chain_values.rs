//! What units are worth that pay no invoice in time: no locked rate is an option on the price of a SOL.

use shared::chain::Commitment::{Confirmed, Finalized};
use shared::ids::InvoiceId;
use shared::invoices::Rail;
use shared::settlement::{CreditRefusal, PayOutcome};

use crate::chain_look::{Look, attribute_at, give, release_at};
use crate::chain_scene::Scene;
use crate::chain_world::{Bill, Effects, let_lapse, listed, purchase, signature, standing};
use crate::world::{balance_of, create_user, with_balance};

const USD: i64 = 1_000_000;
const SOL: u64 = 1_000_000_000;
const LOCKED: i64 = 150 * USD;
/// Three dollars at that rate.
const DUE: u64 = SOL / 50;
/// What a SOL may cost later, and what 100 of them are worth then that were locked at 150.
const LATER: [(i64, i64); 3] = [
    (15 * USD, 1_500 * USD),
    (150 * USD, 15_000 * USD),
    (900 * USD, 15_000 * USD),
];

/// An invoice of three dollars, to be paid in SOL.
async fn three_dollars(scene: &Scene) -> InvoiceId {
    let wanted = Bill {
        rail: Rail::SolNative,
        rate_micro: Some(LOCKED),
        ..purchase(3 * USD)
    };
    scene.bill(wanted).await
}

async fn pay(scene: &Scene, invoice: &InvoiceId, lamports: u64, price: Option<i64>) -> String {
    let (of, effects) = (
        signature(),
        Effects::default().and(Rail::SolNative, invoice, lamports),
    );
    let look = Look::at(Finalized).priced(price);
    look.record(scene.pool(), &of, &effects).await.unwrap();
    of
}

async fn balance(scene: &Scene) -> i64 {
    balance_of(scene.pool(), scene.user).await
}

#[tokio::test]
async fn money_for_an_invoice_that_ended_is_worth_the_lower_of_both_rates() {
    let scene = Scene::open().await;
    let mut expected = 0;
    for (price, worth) in LATER {
        let (cancelled, expired, swept) = (
            three_dollars(&scene).await,
            three_dollars(&scene).await,
            three_dollars(&scene).await,
        );
        assert!(scene.cancel(&cancelled).await);
        let_lapse(scene.pool(), &swept).await;
        assert_eq!(scene.sweep().await, 1);
        let_lapse(scene.pool(), &expired).await;
        for invoice in [&cancelled, &expired, &swept] {
            pay(&scene, invoice, 100 * SOL, Some(price)).await;
            expected += worth;
            assert_eq!(balance(&scene).await, expected, "{price}");
        }
        assert_eq!(scene.sweep().await, 1);
    }
    scene.close().await;
}

#[tokio::test]
async fn the_surplus_of_an_open_invoice_is_worth_the_lower_of_both_rates() {
    let scene = Scene::open().await;
    let mut expected = 0;
    for (price, worth) in LATER {
        let invoice = three_dollars(&scene).await;
        pay(&scene, &invoice, DUE + 100 * SOL, Some(price)).await;
        expected += worth;
        assert_eq!(standing(scene.pool(), &invoice).await.0, "paid");
        assert_eq!(balance(&scene).await, expected, "{price}");
        // And whatever comes after it.
        pay(&scene, &invoice, 100 * SOL, Some(price)).await;
        expected += worth;
        assert_eq!(balance(&scene).await, expected, "{price}");
    }
    scene.close().await;
}

/// The locked rate is the payer's right in time, whatever happened to the price, and to the last lamport.
#[tokio::test]
async fn the_price_itself_is_paid_at_the_locked_rate() {
    let scene = Scene::open().await;
    for price in [None, Some(15 * USD), Some(900 * USD)] {
        let invoice = three_dollars(&scene).await;
        pay(&scene, &invoice, DUE - 1, price).await;
        assert_eq!(standing(scene.pool(), &invoice).await.0, "pending");
        pay(&scene, &invoice, 1, price).await;
        assert_eq!(standing(scene.pool(), &invoice).await.0, "paid");
        assert_eq!(balance(&scene).await, 0);
    }
    scene.close().await;
}

#[tokio::test]
async fn parts_of_an_ended_invoice_are_worth_the_lower_of_both_rates_together() {
    let scene = Scene::open().await;
    let invoice = three_dollars(&scene).await;
    // A third of a micro-dollar each at the later price.
    for _ in 0..9 {
        pay(&scene, &invoice, 333, Some(LOCKED)).await;
    }
    assert!(scene.cancel(&invoice).await);
    assert_eq!(release_at(scene.pool(), Some(USD)).await, 1);
    // 2,997 lamports are worth 2.997 micro-dollars.
    assert_eq!(balance(&scene).await, 2);
    scene.close().await;
}

#[tokio::test]
async fn without_a_price_it_waits_listed_until_there_is_one() {
    let scene = Scene::open().await;
    let (cancelled, surplus) = (three_dollars(&scene).await, three_dollars(&scene).await);
    assert!(scene.cancel(&cancelled).await);
    let late = pay(&scene, &cancelled, 100 * SOL, None).await;
    let over = pay(&scene, &surplus, DUE + SOL, None).await;
    assert_eq!(standing(scene.pool(), &surplus).await.0, "paid");
    assert_eq!(balance(&scene).await, 0);
    for (of, invoice, lamports) in [(&late, &cancelled, 100 * SOL), (&over, &surplus, SOL)] {
        let rows = listed(scene.pool(), of).await;
        assert_eq!(rows.len(), 1);
        let (id, units, reason, named, resolution) = rows[0].clone();
        assert_eq!(units, i64::try_from(lamports).unwrap());
        assert_eq!((reason.as_str(), resolution), ("awaiting_price", None));
        assert_eq!(named.as_deref(), Some(invoice.as_str()));
        // It has an owner: nobody else can be given it.
        let refused = attribute_at(scene.pool(), id, &cancelled, Some(LOCKED)).await;
        assert!(refused.is_err(), "{refused:?}");
        let refused = give(scene.pool(), id, scene.user, Some(LOCKED)).await;
        assert_eq!(refused, Err(CreditRefusal::NothingToAttribute));
    }
    assert_eq!(release_at(scene.pool(), None).await, 0);
    assert_eq!(balance(&scene).await, 0);

    assert_eq!(release_at(scene.pool(), Some(15 * USD)).await, 2);
    assert_eq!(balance(&scene).await, 1_515 * USD);
    for of in [&late, &over] {
        assert_eq!(listed(scene.pool(), of).await, [], "struck off");
    }
    assert_eq!(release_at(scene.pool(), Some(15 * USD)).await, 0);
    scene.close().await;
}

/// Many that wait for a price do not keep money of other kinds waiting.
#[tokio::test]
async fn dollars_do_not_wait_behind_lamports_without_a_price() {
    let scene = Scene::open().await;
    for _ in 0..120 {
        let invoice = three_dollars(&scene).await;
        assert!(scene.cancel(&invoice).await);
        pay(&scene, &invoice, 1_000, None).await;
    }
    let part = scene.bill(purchase(50)).await;
    scene.pay(&part, 20, Finalized).await;
    assert!(scene.cancel(&part).await);
    assert_eq!(release_at(scene.pool(), None).await, 1);
    assert_eq!(balance(&scene).await, 20);
    // Each is worth 150 micro-dollars.
    assert_eq!(release_at(scene.pool(), Some(900 * USD)).await, 120);
    assert_eq!(balance(&scene).await, 20 + 120 * 150);
    scene.close().await;
}

#[tokio::test]
async fn paying_from_the_balance_leaves_the_locked_rate_behind() {
    let scene = Scene::open().await;
    let user = create_user(scene.pool(), &with_balance(3 * USD)).await;
    let scene = Scene { user, ..scene };
    let invoice = three_dollars(&scene).await;
    pay(&scene, &invoice, DUE / 2, Some(LOCKED)).await;
    assert_eq!(
        scene.pay_from_balance(&invoice).await,
        PayOutcome::Paid {
            new_balance_micro: 0
        }
    );
    assert_eq!(release_at(scene.pool(), Some(15 * USD)).await, 1);
    // A hundredth of a SOL.
    assert_eq!(balance(&scene).await, 150_000);
    scene.close().await;
}

#[tokio::test]
async fn confirmed_money_of_an_ended_invoice_is_valued_when_it_is_final() {
    let scene = Scene::open().await;
    let invoice = three_dollars(&scene).await;
    assert!(scene.cancel(&invoice).await);
    let (of, effects) = (
        signature(),
        Effects::default().and(Rail::SolNative, &invoice, SOL),
    );
    let look = |commitment, price| Look::at(commitment).priced(Some(price));
    let pool = scene.pool();
    look(Confirmed, 100 * USD)
        .record(pool, &of, &effects)
        .await
        .unwrap();
    assert_eq!(balance(&scene).await, 0);
    look(Finalized, 20 * USD)
        .record(pool, &of, &effects)
        .await
        .unwrap();
    assert_eq!(balance(&scene).await, 20 * USD);
    scene.close().await;
}
