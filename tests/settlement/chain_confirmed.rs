//! When confirmed payments settle: what was settled is never counted anew, and an operator hears of what is gone.

use shared::chain::Commitment::{self, Confirmed, Finalized};
use shared::ids::InvoiceId;
use shared::invoices::Rail;
use shared::settlement::{AttributionRefusal, Recorded};

use crate::chain_look::{attribute, reverse, try_record};
use crate::chain_scene::Scene;
use crate::chain_world::{Effects, Listed, invoices, listed, months, purchase, signature, topup};
use crate::world::balance_of;

const REVERSED: &str = "reversed_after_settlement";
const CHANGED: &str = "changed_after_settlement";

async fn record(scene: &Scene, of: &str, commitment: Commitment, effects: &Effects) -> Recorded {
    let recorded = try_record(scene.pool(), of, commitment, effects, true).await;
    recorded.unwrap()
}

fn row(listed: &Listed) -> (i64, &str, Option<&str>) {
    (listed.1, listed.2.as_str(), listed.3.as_deref())
}

async fn waiting(scene: &Scene, of: &str) -> Vec<(i64, String, Option<String>)> {
    let mut all = listed(scene.pool(), of).await;
    all.retain(|deposit| deposit.4.is_none());
    let mut all: Vec<_> = all
        .into_iter()
        .map(|(_, units, reason, invoice, _)| (units, reason, invoice))
        .collect();
    all.sort();
    all
}

fn debt(units: i64, invoice: &InvoiceId) -> (i64, String, Option<String>) {
    (units, REVERSED.to_owned(), Some(invoice.to_string()))
}

#[tokio::test]
async fn a_confirmed_payment_settles_at_once_and_finality_adds_nothing() {
    let scene = Scene::open().await;
    let invoice = scene.bill(topup(50)).await;
    let (of, effects) = (signature(), Effects::pays(&invoice, 60));
    assert_eq!(record(&scene, &of, Confirmed, &effects).await.paid.len(), 1);
    scene.expect(&invoice, "paid", 60, 60).await;
    for commitment in [Confirmed, Finalized, Finalized, Confirmed] {
        let again = record(&scene, &of, commitment, &effects).await;
        assert_eq!((again.paid.len(), again.publication), (0, None));
    }
    scene.expect(&invoice, "paid", 60, 60).await;
    assert_eq!(listed(scene.pool(), &of).await, []);
    scene.close().await;
}

#[tokio::test]
async fn case_44_settled_money_that_is_gone_is_listed_for_each_invoice_and_can_pay_nothing() {
    let scene = Scene::open().await;
    let (one, two) = (scene.bill(purchase(50)).await, scene.bill(topup(30)).await);
    let effects = Effects::pays(&one, 50).and(Rail::SolSplUsdc, &two, 30);
    let of = signature();
    record(&scene, &of, Confirmed, &effects).await;
    assert!(reverse(scene.pool(), &of).await);
    // What was done stays done; the operator decides.
    scene.expect(&one, "paid", 0, 30).await;
    scene.expect(&two, "paid", 0, 30).await;
    assert_eq!(months(scene.pool(), &[scene.user]).await, [1]);
    let debts = listed(scene.pool(), &of).await;
    let mut rows: Vec<_> = debts.iter().map(row).collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            (30, REVERSED, Some(two.as_str())),
            (50, REVERSED, Some(one.as_str()))
        ]
    );
    let third = scene.bill(purchase(50)).await;
    for debt in &debts {
        let refused = attribute(scene.pool(), debt.0, &third).await;
        assert_eq!(refused, Err(AttributionRefusal::NothingToAttribute));
    }
    scene.close().await;
}

#[tokio::test]
async fn case_43_settled_money_that_lands_again_as_it_was_is_no_debt() {
    let scene = Scene::open().await;
    let invoice = scene.bill(topup(50)).await;
    let (of, effects) = (signature(), Effects::pays(&invoice, 50));
    record(&scene, &of, Confirmed, &effects).await;
    for _ in 0..2 {
        assert!(reverse(scene.pool(), &of).await);
        assert_eq!(waiting(&scene, &of).await, [debt(50, &invoice)]);
        record(&scene, &of, Confirmed, &effects).await;
        assert_eq!(waiting(&scene, &of).await, []);
    }
    record(&scene, &of, Finalized, &effects).await;
    scene.expect(&invoice, "paid", 50, 50).await;
    assert_eq!(waiting(&scene, &of).await, []);
    scene.close().await;
}

/// The final transaction failed, or moved something else: no look at it said that it was gone.
#[tokio::test]
async fn case_43_settled_money_that_lands_otherwise_is_a_debt_and_what_came_is_listed() {
    let scene = Scene::open().await;
    let later = [
        Effects::default(),
        Effects::default().and_rest(Rail::SolSplUsdc, 50),
    ];
    for after in later {
        let invoice = scene.bill(purchase(50)).await;
        let of = signature();
        record(&scene, &of, Confirmed, &Effects::pays(&invoice, 50)).await;
        record(&scene, &of, Finalized, &after).await;
        scene.expect(&invoice, "paid", 0, 0).await;
        let mut expected = vec![debt(50, &invoice)];
        expected.extend(
            after
                .0
                .open
                .first()
                .map(|_| (50, "remainder".to_owned(), None)),
        );
        expected.sort();
        assert_eq!(waiting(&scene, &of).await, expected);
    }
    scene.close().await;
}

#[tokio::test]
async fn case_43_another_amount_than_was_settled_waits_whole_beside_the_debt() {
    let scene = Scene::open().await;
    for units in [20, 80] {
        let (invoice, other) = (scene.bill(purchase(50)).await, scene.bill(topup(20)).await);
        let of = signature();
        let before = balance_of(scene.pool(), scene.user).await;
        record(&scene, &of, Confirmed, &Effects::pays(&invoice, 50)).await;
        let now = Effects::pays(&invoice, units);
        record(&scene, &of, Confirmed, &now).await;
        assert_eq!(waiting(&scene, &of).await, [debt(50, &invoice)]);
        for _ in 0..2 {
            record(&scene, &of, Finalized, &now).await;
        }
        let changed = (
            i64::try_from(units).unwrap(),
            CHANGED.to_owned(),
            Some(invoice.to_string()),
        );
        let mut expected = [debt(50, &invoice), changed];
        expected.sort();
        assert_eq!(waiting(&scene, &of).await, expected);
        scene.expect(&invoice, "paid", 0, before).await;

        // The money is there: it may be given to another invoice, once, and not to the one that has had its own.
        let all = listed(scene.pool(), &of).await;
        let deposit = all.iter().find(|deposit| deposit.2 == CHANGED).unwrap().0;
        let refused = attribute(scene.pool(), deposit, &invoice).await;
        assert_eq!(refused, Err(AttributionRefusal::InvoiceWasCredited));
        attribute(scene.pool(), deposit, &other).await.unwrap();
        let again = attribute(scene.pool(), deposit, &other).await;
        assert_eq!(again, Err(AttributionRefusal::NotFound));
        let units = i64::try_from(units).unwrap();
        scene.expect(&other, "paid", units, before + units).await;
        assert_eq!(waiting(&scene, &of).await, [debt(50, &invoice)]);
    }
    scene.close().await;
}

#[tokio::test]
async fn confirmed_parts_settle_together_and_one_of_them_may_be_gone_later() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    let (one, two) = (signature(), signature());
    record(&scene, &one, Confirmed, &Effects::pays(&invoice, 20)).await;
    scene.expect(&invoice, "pending", 20, 0).await;
    record(&scene, &two, Confirmed, &Effects::pays(&invoice, 35)).await;
    scene.expect(&invoice, "paid", 55, 5).await;
    assert!(reverse(scene.pool(), &one).await);
    record(&scene, &two, Finalized, &Effects::pays(&invoice, 35)).await;
    scene.expect(&invoice, "paid", 35, 5).await;
    assert_eq!(waiting(&scene, &one).await, [debt(20, &invoice)]);
    assert_eq!(waiting(&scene, &two).await, []);
    let rows = invoices(scene.pool(), &[invoice]).await;
    assert_eq!(rows[0].treasury_micro, 55);
    scene.close().await;
}
