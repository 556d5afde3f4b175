//! Watchers, workers, owners and operators at once on the same invoices: one settlement each, no deadlock, no money lost.

use futures::future::join_all;
use rand::seq::SliceRandom as _;
use shared::chain::Commitment;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::invoices::Rail;
use shared::queue::PayJob;
use shared::settlement::{
    ChainPayment, PayOutcome, SettleRules, cancel, expire, settle_from_balance,
};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use stack::Deployment;

use crate::chain_look::{Look, attribute, record, record_together, release, reverse};
use crate::chain_world::{
    Effects, assert_audited, bill, invoices, listed, purchase, quiet_deployment, signature,
    standing, topup,
};
use crate::world::{balance_of, create_user, with_balance};

const SESSIONS: u32 = 24;

/// A session for each of many at once.
async fn many_sessions(deployment: &Deployment) -> PgPool {
    PgPoolOptions::new()
        .max_connections(SESSIONS)
        .min_connections(SESSIONS)
        .connect(&deployment.settings().owner_url)
        .await
        .unwrap()
}

async fn end(deployment: Deployment, pool: PgPool) {
    assert_audited(&pool).await;
    pool.close().await;
    deployment.finish().await.unwrap();
}

async fn bills(pool: &PgPool, owner: UserId, count: usize, price: i64) -> Vec<InvoiceId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(bill(pool, owner, purchase(price)).await);
    }
    ids
}

async fn pay(pool: &PgPool, invoice: &InvoiceId, user: UserId) -> PayOutcome {
    let job = PayJob {
        invoice_id: invoice.clone(),
        user_id: user,
    };
    let settled = settle_from_balance(pool, &[(job, TraceId::generate())]).await;
    settled.unwrap().outcomes.remove(0)
}

/// §8 case 51.
#[tokio::test(flavor = "multi_thread")]
async fn case_51_ten_recorders_of_one_signature_credit_it_once() {
    let deployment = quiet_deployment().await;
    let pool = many_sessions(&deployment).await;
    let user = create_user(&pool, &with_balance(0)).await;
    for _ in 0..10 {
        let (one, two) = (
            bill(&pool, user, topup(100)).await,
            bill(&pool, user, purchase(40)).await,
        );
        let effects = Effects::pays(&one, 110).and(Rail::SolSplUsdc, &two, 40);
        let (of, before) = (signature(), balance_of(&pool, user).await);
        let looks = (0..10).map(|nth| {
            let commitment = if nth % 2 == 0 {
                Commitment::Finalized
            } else {
                Commitment::Confirmed
            };
            record(&pool, &of, commitment, &effects)
        });
        let paid: usize = join_all(looks)
            .await
            .iter()
            .map(|done| done.paid.len())
            .sum();
        assert_eq!(paid, 2);
        assert_eq!(balance_of(&pool, user).await, before + 110);
        assert_eq!(standing(&pool, &one).await, ("paid".to_owned(), 110));
        assert_eq!(standing(&pool, &two).await, ("paid".to_owned(), 40));
    }
    end(deployment, pool).await;
}

/// Each payer sends a part of its own; all parts are recorded at once.
#[tokio::test(flavor = "multi_thread")]
async fn case_51_parts_of_one_price_do_not_wait_for_each_other_in_a_circle() {
    let deployment = quiet_deployment().await;
    let pool = many_sessions(&deployment).await;
    let user = create_user(&pool, &with_balance(0)).await;
    for _ in 0..10 {
        let invoice = bill(&pool, user, purchase(200)).await;
        let parts = (0..20).map(async |_| {
            let of = signature();
            let effects = Effects::pays(&invoice, 10);
            record(&pool, &of, Commitment::Confirmed, &effects).await;
            record(&pool, &of, Commitment::Finalized, &effects)
                .await
                .paid
                .len()
        });
        assert_eq!(join_all(parts).await.iter().sum::<usize>(), 1);
        assert_eq!(standing(&pool, &invoice).await, ("paid".to_owned(), 200));
    }
    assert_eq!(balance_of(&pool, user).await, 0);
    end(deployment, pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_for_overlapping_invoices_in_any_order_settle_all() {
    let deployment = quiet_deployment().await;
    let pool = many_sessions(&deployment).await;
    let mut all = Vec::new();
    let mut users = Vec::new();
    for _ in 0..4 {
        let user = create_user(&pool, &with_balance(0)).await;
        users.push(user);
        all.extend(bills(&pool, user, 3, 50).await);
    }
    let looks = (0..40).map(|_| {
        let mut some = all.clone();
        some.shuffle(&mut rand::rng());
        let effects = some[..6]
            .iter()
            .fold(Effects::default(), |effects, invoice| {
                effects.and(Rail::SolSplUsdc, invoice, 5)
            });
        let pool = &pool;
        async move {
            let of = signature();
            record(pool, &of, Commitment::Confirmed, &effects).await;
            record(pool, &of, Commitment::Finalized, &effects).await;
        }
    });
    join_all(looks).await;

    let rows = invoices(&pool, &all).await;
    let received: i64 = rows.iter().map(|row| row.payments_received_micro).sum();
    assert_eq!(received, 40 * 6 * 5);
    let mut over = 0;
    for row in &rows {
        let is_paid = row.payments_received_micro >= 50;
        assert_eq!(row.status == "paid", is_paid, "{row:?}");
        let expected = if is_paid {
            row.payments_received_micro
        } else {
            0
        };
        assert_eq!(row.treasury_micro, expected, "{row:?}");
        over += (expected - 50).max(0);
    }
    let mut balances = 0;
    for user in users {
        balances += balance_of(&pool, user).await;
    }
    assert_eq!(balances, over);
    end(deployment, pool).await;
}

/// Groups of several watchers, each in an order of its own, while others pay from balance and what is left over is counted.
#[tokio::test(flavor = "multi_thread")]
async fn groups_over_overlapping_invoices_wait_for_each_other_in_no_circle() {
    const GROUPS: usize = 12;
    const SIZE: usize = 8;
    let deployment = quiet_deployment().await;
    let pool = many_sessions(&deployment).await;
    let (mut all, mut payers) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let user = create_user(&pool, &with_balance(1_000)).await;
        all.extend(bills(&pool, user, 2, 1_000_000).await);
        payers.push((user, bills(&pool, user, 4, 10).await));
    }
    let rules = SettleRules {
        dust_below_micro: 100,
        ..SettleRules::default()
    };
    let groups = (0..GROUPS).map(|_| {
        let payments: Vec<ChainPayment> = (0..SIZE)
            .map(|_| {
                let mut some = all.clone();
                some.shuffle(&mut rand::rng());
                let effects = Effects::pays(&some[0], 5)
                    .and(Rail::SolSplUsdc, &some[1], 5)
                    .and_rest(Rail::SolSplUsdc, 1)
                    .and_rest(Rail::SolSplUsdt, 1);
                Look::at(Commitment::Finalized).payment(&signature(), &effects)
            })
            .collect();
        let (pool, rules) = (&pool, &rules);
        async move { record_together(pool, &payments, rules).await.unwrap() }
    });
    let paying = payers.iter().flat_map(|(user, bills)| {
        let pool = &pool;
        bills.iter().map(move |bill| pay(pool, bill, *user))
    });

    let (_, paid) = tokio::join!(join_all(groups), join_all(paying));

    let is_paid = |outcome: &PayOutcome| matches!(outcome, PayOutcome::Paid { .. });
    assert!(paid.iter().all(is_paid), "{paid:?}");
    let rows = invoices(&pool, &all).await;
    let received: i64 = rows.iter().map(|row| row.payments_received_micro).sum();
    let payments = i64::try_from(GROUPS * SIZE).unwrap();
    assert_eq!(received, payments * 10);
    let dust: (i64, i64) =
        sqlx::query_as("select sum(deposits)::bigint, sum(units)::bigint from deposit_dust")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(dust, (payments * 2, payments * 2));
    end(deployment, pool).await;
}

/// Money on chain, money from the balance, the owner's no and the clock meet on each invoice.
#[tokio::test(flavor = "multi_thread")]
async fn case_62_an_invoice_has_one_end_whoever_comes_first() {
    const COUNT: usize = 100;
    let deployment = quiet_deployment().await;
    let pool = many_sessions(&deployment).await;
    let user = create_user(&pool, &with_balance(10_000)).await;
    let all = bills(&pool, user, COUNT, 10).await;
    sqlx::query(
        "update invoices i set expires_at = e.at, grace_until = e.at
         from (select id, clock_timestamp() + random() * interval '0.6 seconds' as at from invoices) as e
         where e.id = i.id",
    )
    .execute(&pool)
    .await
    .unwrap();
    let trace = TraceId::generate();
    let ends = all.iter().map(async |invoice| {
        let effects = Effects::pays(invoice, 10);
        let of = signature();
        let chain = async {
            record(&pool, &of, Commitment::Confirmed, &effects).await;
            record(&pool, &of, Commitment::Finalized, &effects)
                .await
                .paid
                .len()
        };
        let (on_chain, from_balance, cancelled, _) = tokio::join!(
            chain,
            pay(&pool, invoice, user),
            cancel(&pool, invoice, user, &trace),
            expire(&pool, 10, &trace),
        );
        (on_chain, from_balance, cancelled.unwrap().is_some())
    });
    let answers = join_all(ends).await;
    while expire(&pool, 500, &trace).await.unwrap().count > 0 {}
    release(&pool).await;

    let mut balance = 10_000;
    for (invoice, (on_chain, from_balance, cancelled)) in all.iter().zip(answers) {
        let (status, received) = standing(&pool, invoice).await;
        assert_eq!(received, 10, "{invoice}");
        let from_balance = matches!(from_balance, PayOutcome::Paid { .. });
        let expected = match (on_chain, cancelled) {
            (1, false) => "paid",
            (0, true) => "cancelled",
            (0, false) if from_balance => "paid",
            (0, false) => "expired",
            _ => panic!("{invoice}: {on_chain} {cancelled}"),
        };
        assert_eq!(status, expected, "{invoice}");
        // What paid on chain is gone; else the money is the owner's, who may have paid from the balance.
        balance += match (expected, on_chain) {
            ("paid", _) => 0,
            _ => 10,
        };
    }
    assert_eq!(balance_of(&pool, user).await, balance);
    end(deployment, pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributions_and_payments_of_one_invoice_settle_it_once() {
    let deployment = quiet_deployment().await;
    let pool = many_sessions(&deployment).await;
    let user = create_user(&pool, &with_balance(0)).await;
    for _ in 0..10 {
        let (invoice, before) = (
            bill(&pool, user, purchase(60)).await,
            balance_of(&pool, user).await,
        );
        let mut deposits = Vec::new();
        for _ in 0..6 {
            let of = signature();
            let effects = Effects::default().and_rest(Rail::SolSplUsdc, 10);
            record(&pool, &of, Commitment::Finalized, &effects).await;
            deposits.push(listed(&pool, &of).await.remove(0).0);
        }
        // Two operators decide each; one of them comes too late.
        let attributed = join_all(
            deposits
                .iter()
                .flat_map(|deposit| [(); 2].map(|()| attribute(&pool, *deposit, &invoice))),
        );
        let paid = join_all((0..4).map(async |_| {
            let effects = Effects::pays(&invoice, 15);
            record(&pool, &signature(), Commitment::Finalized, &effects).await
        }));
        let (attributed, _) = tokio::join!(attributed, paid);
        assert_eq!(attributed.iter().filter(|done| done.is_ok()).count(), 6);
        assert_eq!(standing(&pool, &invoice).await, ("paid".to_owned(), 120));
        assert_eq!(balance_of(&pool, user).await, before + 60);
    }
    end(deployment, pool).await;
}

/// One watcher believes that a transaction is gone while another sees it final.
#[tokio::test(flavor = "multi_thread")]
async fn case_43_a_reversal_and_finality_at_once_end_in_finality() {
    let deployment = quiet_deployment().await;
    let pool = many_sessions(&deployment).await;
    let user = create_user(&pool, &with_balance(0)).await;
    for _ in 0..20 {
        let invoice = bill(&pool, user, purchase(10)).await;
        let (of, effects) = (signature(), Effects::pays(&invoice, 10));
        record(&pool, &of, Commitment::Confirmed, &effects).await;
        tokio::join!(
            reverse(&pool, &of),
            record(&pool, &of, Commitment::Finalized, &effects)
        );
        assert_eq!(standing(&pool, &invoice).await, ("paid".to_owned(), 10));
        assert!(!reverse(&pool, &of).await, "what is final stays");
    }
    assert_eq!(balance_of(&pool, user).await, 0);
    end(deployment, pool).await;
}
