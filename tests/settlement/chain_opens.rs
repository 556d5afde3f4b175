//! What final transactions leave open, take out and bring too little of; and what operators give to users.

use shared::chain::Commitment::{Confirmed, Finalized};
use shared::chain::{Open, OpenReason};
use shared::invoices::Rail;
use shared::settlement::CreditRefusal;
use solana_pubkey::Pubkey;
use sqlx::PgPool;

use crate::chain_look::{Look, attribute, give, record, record_together};
use crate::chain_order::BALANCE_MAX;
use crate::chain_scene::Scene;
use crate::chain_world::{Bill, Effects, account, listed, months, purchase, signature, topup};
use crate::world::{balance_of, create_user, with_balance};

const USDC: Rail = Rail::SolSplUsdc;
const SOL: Rail = Rail::SolNative;

async fn record_at(pool: &PgPool, price: Option<i64>, dust: i64, effects: &Effects) -> String {
    let of = signature();
    let mut look = Look::at(Finalized).priced(price);
    look.rules.dust_below_micro = dust;
    look.record(pool, &of, effects).await.unwrap();
    of
}

/// Units and worth as the list has them.
async fn worths(pool: &PgPool, of: &str) -> Vec<(String, Option<i64>)> {
    let query = "select units::text, worth_micro from unattributed_deposits where signature = $1 order by id";
    sqlx::query_as(query)
        .bind(of)
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn dust(pool: &PgPool, rail: Rail) -> Option<(i64, i64)> {
    let query = "select deposits, units::bigint from deposit_dust where account = $1";
    let row = sqlx::query_as(query).bind(account(rail).to_string());
    row.fetch_optional(pool).await.unwrap()
}

#[tokio::test]
async fn a_worthless_token_of_any_size_keeps_nothing_from_counting() {
    let scene = Scene::open().await;
    let invoice = scene.bill(purchase(50)).await;
    let mut effects = Effects::pays(&invoice, 50);
    effects.0.open.push(Open {
        account: Pubkey::new_from_array([66; 32]),
        units: u64::MAX,
        reason: OpenReason::OtherAccount,
        invoice: Some(invoice.clone()),
        rail: None,
    });
    let of = record_at(scene.pool(), None, 10_000, &effects).await;
    scene.expect(&invoice, "paid", 50, 0).await;
    let listed = [(u64::MAX.to_string(), Some(0))];
    assert_eq!(worths(scene.pool(), &of).await, listed);
    scene.close().await;
}

#[tokio::test]
async fn too_little_is_counted_instead_of_listed_and_what_is_worth_nobody_knows_what_is_not() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let rest = |rail, units| Effects::default().and_rest(rail, units);
    let price = Some(100_000_000);
    // A lamport is worth a tenth of a micro-dollar: a cent is 100,000 of them.
    for (rail, units, price, worth) in [
        (USDC, 9_999, price, None),
        (USDC, 10_000, price, Some(Some(10_000))),
        (SOL, 99_999, price, None),
        (SOL, 100_000, price, Some(Some(10_000))),
        (SOL, 1, None, Some(None)),
        (USDC, 1, None, None),
    ] {
        let of = record_at(pool, price, 10_000, &rest(rail, units)).await;
        let expected: Vec<_> = worth
            .into_iter()
            .map(|worth| (units.to_string(), worth))
            .collect();
        assert_eq!(worths(pool, &of).await, expected, "{rail:?} {units}");
    }
    assert_eq!(dust(pool, USDC).await, Some((2, 10_000)));
    assert_eq!(dust(pool, SOL).await, Some((1, 99_999)));
    // Without a threshold all are listed; and nothing is counted twice, or before it is final.
    let of = record_at(pool, price, 0, &rest(USDC, 1)).await;
    assert_eq!(worths(pool, &of).await, [("1".to_owned(), Some(1))]);
    let (of, little) = (signature(), rest(USDC, 7));
    for commitment in [Confirmed, Finalized, Finalized] {
        let mut look = Look::at(commitment);
        look.rules.dust_below_micro = 10_000;
        look.record(pool, &of, &little).await.unwrap();
        let count = if commitment == Confirmed { 2 } else { 3 };
        assert_eq!(dust(pool, USDC).await.unwrap().0, count);
    }
    scene.close().await;
}

#[tokio::test]
async fn what_left_an_account_is_recorded_once_it_is_final() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let mut effects = Effects::default();
    effects.0.outflows.insert(account(USDC), 30);
    effects.0.open.push(Open {
        account: account(USDC),
        units: 20,
        reason: OpenReason::NettedOut,
        invoice: None,
        rail: Some(USDC),
    });
    let of = signature();
    let outflows = async || -> Vec<(String, i64, i64)> {
        sqlx::query_as("select account, slot, units from chain_outflows where signature = $1")
            .bind(&of)
            .fetch_all(pool)
            .await
            .unwrap()
    };
    record(pool, &of, Confirmed, &effects).await;
    assert_eq!(outflows().await, []);
    for _ in 0..2 {
        let mut look = Look::at(Finalized);
        look.rules.dust_below_micro = 10_000;
        look.record(pool, &of, &effects).await.unwrap();
        assert_eq!(outflows().await, [(account(USDC).to_string(), 1, 30)]);
    }
    // It is listed, however little it is, and cannot be given to anybody: it is not there.
    let rows = listed(pool, &of).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].1, rows[0].2.as_str()), (20, "netted_out"));
    let refused = give(pool, rows[0].0, scene.user, None).await;
    assert_eq!(refused, Err(CreditRefusal::NothingToAttribute));
    scene.close().await;
}

/// Its second account was nobody's when it was judged, and is ours now.
#[tokio::test]
async fn an_account_that_was_added_later_is_added_to_what_is_final() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let first = scene.bill(purchase(50)).await;
    let usdt = Bill {
        rail: Rail::SolSplUsdt,
        ..topup(30)
    };
    let second = scene.bill(usdt).await;
    let of = signature();
    let mut then = Effects::pays(&first, 50);
    then.0.open.push(Open {
        account: account(SOL),
        units: 35,
        reason: OpenReason::OtherAccount,
        invoice: None,
        rail: None,
    });
    record(pool, &of, Finalized, &then).await;
    assert_eq!(listed(pool, &of).await.len(), 1);
    // Now it says something else about the first, too, which is settled for good.
    let now = Effects::pays(&first, 40)
        .and(Rail::SolSplUsdt, &second, 30)
        .and_rest(Rail::SolSplUsdt, 9)
        .and_rest(SOL, 35);
    for look in 0..2 {
        let recorded = record(pool, &of, Finalized, &now).await;
        assert_eq!(recorded.paid.len(), usize::from(look == 0));
        assert_eq!(recorded.publication.is_some(), look == 0);
    }
    scene.expect(&first, "paid", 50, 30).await;
    scene.expect(&second, "paid", 30, 30).await;
    let mut rests: Vec<(i64, String)> = listed(pool, &of)
        .await
        .into_iter()
        .map(|(_, units, reason, ..)| (units, reason))
        .collect();
    rests.sort();
    let remainder = |units| (units, "remainder".to_owned());
    assert_eq!(rests, [remainder(9), remainder(35)]);
    scene.close().await;
}

#[tokio::test]
async fn a_deposit_of_any_rail_is_given_to_a_user_once_at_what_it_is_worth_now() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let other = create_user(pool, &with_balance(7)).await;
    let effects = Effects::default()
        .and_rest(USDC, 49)
        .and_rest(SOL, 2_000_000_000);
    let of = record_at(pool, None, 0, &effects).await;
    let rows = listed(pool, &of).await;
    let id = |units: i64| rows.iter().find(|row| row.1 == units).unwrap().0;

    let given = give(pool, id(49), other, None).await.unwrap();
    assert_eq!((given.worth_micro, given.new_balance_micro), (49, 56));
    let events = given.publication.unwrap().events;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, format!("balance:{other}"));
    let refused = give(pool, id(2_000_000_000), other, None).await;
    assert_eq!(refused, Err(CreditRefusal::PriceMissing));
    let given = give(pool, id(2_000_000_000), other, Some(15_000_000)).await;
    assert_eq!(given.unwrap().new_balance_micro, 30_000_056);
    for deposit in [id(49), id(2_000_000_000)] {
        let again = give(pool, deposit, other, Some(15_000_000)).await;
        assert_eq!(again, Err(CreditRefusal::NotFound));
    }
    let resolved: Vec<(Option<String>, Option<uuid::Uuid>, Option<String>)> = sqlx::query_as(
        "select resolution, user_id, note from unattributed_deposits where signature = $1",
    )
    .bind(&of)
    .fetch_all(pool)
    .await
    .unwrap();
    let credited = (
        Some("credited".to_owned()),
        Some(other.0),
        Some("as told".to_owned()),
    );
    assert_eq!(resolved, [credited.clone(), credited]);
    assert_eq!(months(pool, &[other]).await, [0]);
    scene.close().await;
}

#[tokio::test]
async fn what_is_refused_is_given_to_nobody_and_stays_listed() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let full = create_user(pool, &with_balance(BALANCE_MAX - 48)).await;
    let of = record_at(pool, None, 0, &Effects::default().and_rest(USDC, 49)).await;
    let deposit = listed(pool, &of).await[0].0;
    let refused = give(pool, deposit, full, None).await;
    assert_eq!(refused, Err(CreditRefusal::BalanceTooLarge));
    let nobody = shared::ids::UserId::generate();
    let refused = give(pool, deposit, nobody, None).await;
    assert_eq!(refused, Err(CreditRefusal::UnknownUser));
    assert_eq!(
        give(pool, -1, full, None).await,
        Err(CreditRefusal::NotFound)
    );
    assert_eq!(balance_of(pool, full).await, BALANCE_MAX - 48);
    assert_eq!(listed(pool, &of).await[0].4, None);

    // A deposit on no account of ours, one that is not final, one that an invoice was given.
    let stray = sqlx::query_scalar(
        "insert into unattributed_deposits (signature, account, units, reason)
         values ($1, 'elsewhere', 5, 'other_account'), ($1, null, null, 'unreadable') returning id",
    )
    .bind(signature());
    let strays: Vec<i64> = stray.fetch_all(pool).await.unwrap();
    for id in strays {
        let refused = give(pool, id, scene.user, None).await;
        assert_eq!(refused, Err(CreditRefusal::NothingToAttribute));
    }
    let invoice = scene.bill(purchase(49)).await;
    attribute(pool, deposit, &invoice).await.unwrap();
    let refused = give(pool, deposit, scene.user, None).await;
    assert_eq!(refused, Err(CreditRefusal::NotFound));
    scene.expect(&invoice, "paid", 49, 0).await;
    scene.close().await;
}

/// Two operators decide about one deposit at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_is_given_away_once_whoever_decides() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    for _ in 0..20 {
        let invoice = scene.bill(topup(50)).await;
        let before = balance_of(pool, scene.user).await;
        let of = record_at(pool, None, 0, &Effects::default().and_rest(USDC, 50)).await;
        let deposit = listed(pool, &of).await[0].0;
        let (attributed, given, again) = tokio::join!(
            attribute(pool, deposit, &invoice),
            give(pool, deposit, scene.user, None),
            give(pool, deposit, scene.user, None),
        );
        let done = [attributed.is_ok(), given.is_ok(), again.is_ok()];
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
        assert_eq!(balance_of(pool, scene.user).await, before + 50);
    }
    scene.close().await;
}

/// A signature that was taken twice is looked at twice, and both looks may be recorded together.
#[tokio::test]
async fn what_two_looks_of_one_group_leave_open_is_listed_or_counted_once() {
    let scene = Scene::open().await;
    let pool = scene.pool();
    let (listed_one, counted_one) = (signature(), signature());
    let mut look = Look::at(Finalized);
    look.rules.dust_below_micro = 10_000;
    let much = Effects::default().and_rest(USDC, 5_000_000);
    let little = Effects::default().and_rest(USDC, 9_999);
    let twice: Vec<_> = [(&listed_one, &much), (&counted_one, &little)]
        .repeat(2)
        .into_iter()
        .map(|(of, effects)| look.payment(of, effects))
        .collect();

    record_together(pool, &twice, &look.rules).await.unwrap();

    let listed = [("5000000".to_owned(), Some(5_000_000))];
    assert_eq!(worths(pool, &listed_one).await, listed);
    assert_eq!(worths(pool, &counted_one).await, []);
    assert_eq!(dust(pool, USDC).await, Some((1, 9_999)));
    scene.close().await;
}
