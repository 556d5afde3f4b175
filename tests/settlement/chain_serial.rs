//! Any sequence of looks, reversals, ends and operators' decisions leaves the books as the model says, after every step.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::PgPool;

use crate::chain_look::HIGH_PRICE;
use crate::chain_model::{ChainModel, Sighting};
use crate::chain_order::{BALANCE_MAX, Effect, Order, RAILS, Status};
use crate::chain_serial_events::check_events;
use crate::chain_serial_world::World;
use crate::chain_world::{assert_audited, quiet_deployment};

/// Cases per run; each creates its own users and invoices.
const CASES: u32 = 120;

/// What may happen, with the model's indexes.
#[derive(Debug, Clone)]
pub enum Step {
    /// A watcher records looks in one group, in this order.
    Look(Vec<Look>),
    /// The chain has forgotten a transaction.
    Reverse(usize),
    /// An invoice's time runs out.
    Wait(usize),
    /// And its wait with it.
    Lapse(usize),
    /// A SOL costs so much now, or nobody knows.
    Price(Option<i64>),
    /// What was set aside is to be tried again.
    Hurry,
    /// The sweep of overdue invoices.
    Expire,
    /// Somebody gives an invoice up.
    Cancel(usize, usize),
    /// Somebody pays an invoice from the balance.
    Pay(usize, usize),
    /// The sweep of money that waits.
    Release,
    /// An operator gives the n-th deposit to an invoice.
    Attribute(usize, usize),
    /// An operator freezes a balance, or frees it.
    Lock(usize, bool),
}

/// A look at a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Which.
    pub transaction: usize,
    /// On which fork.
    pub fork: usize,
    /// How.
    pub sighting: Sighting,
}

/// A random history.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Before it.
    pub model: ChainModel,
    /// What each transaction does, on two forks.
    pub effects: Vec<[Effect; 2]>,
    steps: Vec<Step>,
}

fn order(user_count: usize) -> impl Strategy<Value = Order> {
    let rates = prop_oneof![
        Just(150_000_000_i64),
        Just(7_777_777),
        // One lamport is worth more than most amounts here.
        Just(30_000_000_000),
    ];
    let topup = proptest::bool::weighted(0.3);
    (0..user_count, 1_i64..60, topup, 0..RAILS, rates).prop_map(
        |(owner, amount_micro, topup, rail, rate)| Order {
            owner,
            amount_micro,
            topup,
            rail,
            rate_micro: (rail == 0).then_some(rate),
            lapsed_at: None,
            grace_over: false,
            status: Status::Pending,
            confirming: false,
            received_micro: 0,
            version: 1,
            treasury_micro: 0,
        },
    )
}

/// Shares of invoices' prices in quarters, give or take a unit; sometimes money for nobody.
fn effect(orders: Vec<Order>) -> impl Strategy<Value = Effect> {
    let share = (0..orders.len(), 0_u64..9, 0_u64..3);
    let rest = prop::array::uniform3(prop_oneof![4 => Just(0_u64), 1 => 1_u64..80]);
    (prop::collection::vec(share, 0..4), rest).prop_map(move |(shares, rest)| {
        let units = |(at, quarters, extra): (usize, u64, u64)| {
            let units = (orders[at].due() * quarters / 4 + extra).saturating_sub(1);
            (at, units.max(1))
        };
        Effect {
            credits: shares.into_iter().map(units).collect(),
            rest,
        }
    })
}

fn step(users: usize, orders: usize, transactions: usize) -> impl Strategy<Value = Step> {
    let sighting = (any::<bool>(), proptest::bool::weighted(0.2));
    let look = (0..transactions, 0_usize..3, sighting).prop_map(
        |(transaction, fork, (is_final, early))| Look {
            transaction,
            // The second fork is the rarer one.
            fork: fork / 2,
            sighting: Sighting { is_final, early },
        },
    );
    let group_size = prop_oneof![2 => Just(1_usize), 1 => 2_usize..5];
    let looks = group_size
        .prop_flat_map(move |size| prop::collection::vec(look.clone(), size))
        .prop_map(Step::Look);
    let prices = prop::sample::select(vec![None, Some(75_000_000), Some(150_000_000), HIGH_PRICE]);
    prop_oneof![
        10 => looks,
        2 => (0..transactions).prop_map(Step::Reverse),
        2 => (0..orders).prop_map(Step::Lapse),
        1 => (0..orders).prop_map(Step::Wait),
        2 => prices.prop_map(Step::Price),
        1 => Just(Step::Hurry),
        2 => Just(Step::Expire),
        1 => (0..orders, 0..users).prop_map(|(order, user)| Step::Cancel(order, user)),
        3 => (0..orders, 0..users).prop_map(|(order, user)| Step::Pay(order, user)),
        1 => Just(Step::Release),
        2 => (0_usize..8, 0..orders).prop_map(|(deposit, order)| Step::Attribute(deposit, order)),
        1 => (0..users, any::<bool>()).prop_map(|(user, locked)| Step::Lock(user, locked)),
    ]
}

/// Mostly little; sometimes nearly as much as there can be.
fn balance() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0_i64..120, 1 => BALANCE_MAX - 80..=BALANCE_MAX]
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let sizes = (1_usize..4, 1_usize..6, 1_usize..5);
    let with_orders = sizes.prop_flat_map(|(users, orders, transactions)| {
        let orders = prop::collection::vec(order(users), orders);
        (
            prop::collection::vec(balance(), users),
            orders,
            Just(transactions),
            any::<bool>(),
        )
    });
    with_orders.prop_flat_map(|(balances, orders, transactions, at_confirmed)| {
        let forks = [effect(orders.clone()), effect(orders.clone())];
        let effects = prop::collection::vec(forks, transactions);
        let steps = step(balances.len(), orders.len(), transactions);
        let model = ChainModel::new(balances, orders, at_confirmed);
        (effects, prop::collection::vec(steps, 1..30)).prop_map(move |(effects, steps)| Scenario {
            model: model.clone(),
            effects,
            steps,
        })
    })
}

async fn check(pool: &PgPool, scenario: Scenario) -> Result<(), TestCaseError> {
    let world = World::create(pool, &scenario).await;
    let Scenario {
        mut model,
        effects,
        steps,
    } = scenario;
    for (place, step) in steps
        .iter()
        .chain(&[
            Step::Price(HIGH_PRICE),
            Step::Expire,
            Step::Hurry,
            Step::Release,
        ])
        .enumerate()
    {
        model.now = place;
        world.take(&mut model, &effects, step).await?;
        let compared = world.compare(&model).await;
        compared.map_err(|error| TestCaseError::fail(format!("after step {place}: {error}")))?;
    }
    check_events(pool, &world.users, &world.invoices).await?;
    assert_audited(pool).await;
    Ok(())
}

#[test]
fn any_sequence_leaves_the_books_as_the_model_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let deployment = runtime.block_on(quiet_deployment());
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&scenario(), |scenario| {
        runtime.block_on(check(deployment.pool(), scenario))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    runtime.block_on(deployment.finish()).unwrap();
}
