//! How much is credited to whom: top-ups, rates, several invoices in one transaction.

use shared::chain::Commitment::{Confirmed, Finalized};
use shared::invoices::Rail;
use shared::settlement::set_lock;

use crate::chain_look::record;
use crate::chain_scene::Scene;
use crate::chain_world::{
    Bill, Effects, bill, invoices, listed, months, purchase, signature, standing, topup,
};
use crate::world::{balance_of, create_user, with_balance};

#[tokio::test]
async fn a_top_up_credits_what_came_once_its_price_is_reached() {
    let scene = Scene::open().await;
    // Parts of a top-up of 100, and what the balance is after each.
    let cases: [&[(u64, i64)]; 4] = [
        &[(100, 100)],
        &[(130, 130)],
        &[(99, 0), (1, 100), (7, 107)],
        &[(40, 0), (40, 0), (40, 120)],
    ];
    let mut before = 0;
    for parts in cases {
        let invoice = scene.bill(topup(100)).await;
        for (units, after) in parts {
            scene.pay(&invoice, *units, Finalized).await;
            let seen = balance_of(scene.pool(), scene.user).await;
            assert_eq!(seen, before + after, "{parts:?}");
            let status = if *after > 0 { "paid" } else { "pending" };
            assert_eq!(
                standing(scene.pool(), &invoice).await.0,
                status,
                "{parts:?}"
            );
        }
        before = balance_of(scene.pool(), scene.user).await;
    }
    assert_eq!(months(scene.pool(), &[scene.user]).await, [0]);
    scene.close().await;
}

/// What a wallet is asked for pays the invoice, though each part's own worth is rounded down; what is too much is worth
/// what it is itself.
#[tokio::test]
async fn lamports_at_a_locked_rate_add_up_before_they_are_rounded() {
    let scene = Scene::open().await;
    // Rate, price, parts in lamports, received, surplus.
    let cases: [(i64, i64, &[u64], i64, i64); 6] = [
        // 100 micro are 666.67 lamports; three parts are worth 33, 33 and 33 by themselves.
        (150_000_000, 100, &[222, 222, 223], 100, 0),
        (150_000_000, 100, &[667], 100, 0),
        (150_000_000, 100, &[600, 80], 102, 1),
        // One lamport is worth 30 micro: two are asked for.
        (30_000_000_000, 31, &[2], 60, 0),
        (30_000_000_000, 31, &[3], 90, 30),
        // 1_000 lamports are worth one micro.
        (1_000_000, 3, &[999, 999, 1002], 3, 0),
    ];
    let mut balance = 0;
    for (rate, price, parts, received, surplus) in cases {
        let invoice = scene
            .bill(Bill {
                rail: Rail::SolNative,
                rate_micro: Some(rate),
                ..purchase(price)
            })
            .await;
        for (nth, units) in parts.iter().enumerate() {
            assert_eq!(
                standing(scene.pool(), &invoice).await.0,
                "pending",
                "{parts:?} {nth}"
            );
            let effects = Effects::default().and(Rail::SolNative, &invoice, *units);
            record(scene.pool(), &signature(), Finalized, &effects).await;
        }
        balance += surplus;
        scene.expect(&invoice, "paid", received, balance).await;
    }
    // One lamport less is not enough.
    let short = Bill {
        rail: Rail::SolNative,
        rate_micro: Some(150_000_000),
        ..purchase(100)
    };
    let invoice = scene.bill(short).await;
    let effects = Effects::default().and(Rail::SolNative, &invoice, 666);
    record(scene.pool(), &signature(), Finalized, &effects).await;
    scene.expect(&invoice, "pending", 99, balance).await;
    scene.close().await;
}

#[tokio::test]
async fn a_locked_balance_still_receives() {
    let scene = Scene::open().await;
    let mut connection = scene.pool().acquire().await.unwrap();
    set_lock(&mut connection, scene.user, true).await.unwrap();
    drop(connection);
    let (top, bought) = (scene.bill(topup(50)).await, scene.bill(purchase(30)).await);
    let effects = Effects::pays(&top, 50).and(Rail::SolSplUsdc, &bought, 40);
    record(scene.pool(), &signature(), Finalized, &effects).await;
    scene.expect(&top, "paid", 50, 60).await;
    scene.expect(&bought, "paid", 40, 60).await;
    scene.close().await;
}

/// One transaction, three invoices of two users on two rails, and a rest.
#[tokio::test]
async fn one_transaction_may_pay_several_users_on_several_accounts() {
    let scene = Scene::open().await;
    let other = create_user(scene.pool(), &with_balance(0)).await;
    let usdt = Bill {
        rail: Rail::SolSplUsdt,
        ..topup(70)
    };
    let all = [
        scene.bill(purchase(50)).await,
        bill(scene.pool(), other, purchase(20)).await,
        bill(scene.pool(), other, usdt).await,
    ];
    let effects = Effects::pays(&all[0], 50)
        .and(Rail::SolSplUsdc, &all[1], 19)
        .and(Rail::SolSplUsdt, &all[2], 75)
        .and_rest(Rail::SolSplUsdc, 5);
    let of = signature();
    record(scene.pool(), &of, Confirmed, &effects).await;
    assert_eq!(
        listed(scene.pool(), &of).await,
        [],
        "nothing is listed that is not final"
    );
    let recorded = record(scene.pool(), &of, Finalized, &effects).await;
    assert_eq!(recorded.paid.len(), 2);
    let statuses: Vec<String> = invoices(scene.pool(), &all)
        .await
        .into_iter()
        .map(|row| row.status)
        .collect();
    assert_eq!(statuses, ["paid", "pending", "paid"]);
    assert_eq!(balance_of(scene.pool(), other).await, 75);
    let rest = listed(scene.pool(), &of).await;
    assert_eq!(rest.len(), 1);
    assert_eq!((rest[0].1, rest[0].2.as_str()), (5, "remainder"));
    scene.close().await;
}
