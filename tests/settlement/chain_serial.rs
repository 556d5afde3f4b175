//! Any sequence of looks, reversals, ends and operators' decisions leaves the books as the model says, after every step.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::chain::Commitment;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::settlement::{cancel, expire, reverse_chain_payment, set_lock, settle_from_balance};
use sqlx::PgPool;

use crate::chain_model::{ChainModel, Sighting};
use crate::chain_order::{BALANCE_MAX, Deposit, Effect, Order, RAILS, Status};
use crate::chain_serial_events::check_events;
use crate::chain_world::{
    Bill, Effects, HIGH_PRICE, Look, RAIL, assert_audited, attribute_at, bill, hurry, invoices,
    let_lapse, let_wait, months, quiet_deployment, release_at, signature,
};
use crate::model::ModelUser;
use crate::world::{balance_of, create_user};

/// Cases per run; each creates its own users and invoices.
const CASES: u32 = 120;
/// What landed so long ago was in time for every invoice.
const EARLY_SECONDS: i64 = 5400;

#[derive(Debug, Clone)]
enum Step {
    Look {
        transaction: usize,
        fork: usize,
        sighting: Sighting,
    },
    Reverse(usize),
    Wait(usize),
    Lapse(usize),
    Price(Option<i64>),
    Hurry,
    Expire,
    Cancel(usize, usize),
    Pay(usize, usize),
    Release,
    Attribute(usize, usize),
    Lock(usize, bool),
}

#[derive(Debug, Clone)]
struct Scenario {
    model: ChainModel,
    /// What each transaction does, on two forks.
    effects: Vec<[Effect; 2]>,
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
        |(transaction, fork, (is_final, early))| Step::Look {
            transaction,
            // The second fork is the rarer one.
            fork: fork / 2,
            sighting: Sighting { is_final, early },
        },
    );
    let prices = prop::sample::select(vec![None, Some(75_000_000), Some(150_000_000), HIGH_PRICE]);
    prop_oneof![
        10 => look,
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

/// Signature, rail, units, reason, invoice and resolution of a deposit.
type Told = (String, String, i64, String, Option<String>, Option<String>);

/// The model's counterpart in the database.
struct World<'a> {
    pool: &'a PgPool,
    users: Vec<UserId>,
    invoices: Vec<InvoiceId>,
    signatures: Vec<String>,
}

impl<'a> World<'a> {
    async fn create(pool: &'a PgPool, scenario: &Scenario) -> Self {
        let (mut users, mut invoices) = (Vec::new(), Vec::new());
        for balance_micro in &scenario.model.balances {
            let user = ModelUser {
                balance_micro: *balance_micro,
                locked: false,
            };
            users.push(create_user(pool, &user).await);
        }
        for order in &scenario.model.orders {
            let wanted = Bill {
                rail: RAIL[order.rail],
                amount_micro: order.amount_micro,
                rate_micro: order.rate_micro,
                topup: order.topup,
            };
            invoices.push(bill(pool, users[order.owner], wanted).await);
        }
        Self {
            pool,
            users,
            invoices,
            signatures: scenario.effects.iter().map(|_| signature()).collect(),
        }
    }

    fn effects(&self, model: &ChainModel, effect: &Effect) -> Effects {
        let mut effects = Effects::default();
        for (at, units) in &effect.credits {
            effects = effects.and(RAIL[model.orders[*at].rail], &self.invoices[*at], *units);
        }
        for (rail, units) in effect
            .rest
            .iter()
            .enumerate()
            .filter(|(_, units)| **units > 0)
        {
            effects = effects.and_rest(RAIL[rail], *units);
        }
        effects
    }

    async fn look(
        &self,
        model: &ChainModel,
        transaction: usize,
        sighting: Sighting,
        effects: &Effects,
    ) {
        let commitment = if sighting.is_final {
            Commitment::Finalized
        } else {
            Commitment::Confirmed
        };
        let mut look = Look::at(commitment).priced(model.price);
        look.rules.at_confirmed = model.at_confirmed;
        if sighting.early {
            look = look.landed(EARLY_SECONDS);
        }
        let of = &self.signatures[transaction];
        look.record(self.pool, of, effects).await.unwrap();
    }

    /// The row of a deposit of the model.
    async fn deposit(&self, deposit: &Deposit) -> i64 {
        sqlx::query_scalar(
            "select id from unattributed_deposits
             where signature = $1 and reason = $2 and invoice_id is not distinct from $3
               and account = (select account from deposit_accounts where rail = $4)",
        )
        .bind(&self.signatures[deposit.transaction])
        .bind(deposit.reason)
        .bind(
            deposit
                .invoice
                .map(|at| self.invoices[at].as_str().to_owned()),
        )
        .bind(RAIL[deposit.rail].id())
        .fetch_one(self.pool)
        .await
        .unwrap()
    }

    /// Does one step here and in the model; the answers must agree.
    async fn take(
        &self,
        model: &mut ChainModel,
        effects: &[[Effect; 2]],
        step: &Step,
    ) -> Result<(), TestCaseError> {
        let trace = TraceId::generate();
        match *step {
            Step::Look {
                transaction,
                fork,
                sighting,
            } => {
                let effect = &effects[transaction][fork];
                model.record(transaction, effect, sighting);
                let done = self.effects(model, effect);
                self.look(model, transaction, sighting, &done).await;
            }
            Step::Reverse(transaction) => {
                let expected = model.reverse(transaction);
                let of = &self.signatures[transaction];
                let reversed = reverse_chain_payment(self.pool, of, model.price, &trace).await;
                prop_assert_eq!(reversed.unwrap().is_some(), expected);
            }
            Step::Wait(at) => {
                model.lapse(at, false);
                let_wait(self.pool, &self.invoices[at]).await;
            }
            Step::Lapse(at) => {
                model.lapse(at, true);
                let_lapse(self.pool, &self.invoices[at]).await;
            }
            Step::Expire => {
                model.expire();
                while expire(self.pool, 500, &trace).await.unwrap().count == 500 {}
            }
            Step::Cancel(at, user) => {
                let done = cancel(self.pool, &self.invoices[at], self.users[user], &trace).await;
                prop_assert_eq!(done.unwrap().is_some(), model.cancel(at, user));
            }
            Step::Pay(at, user) => {
                let job = shared::queue::PayJob {
                    invoice_id: self.invoices[at].clone(),
                    user_id: self.users[user],
                };
                let mut settled = settle_from_balance(self.pool, &[(job, trace)])
                    .await
                    .unwrap();
                prop_assert_eq!(settled.outcomes.remove(0), model.pay(at, user));
            }
            _ => self.operate(model, step).await?,
        }
        Ok(())
    }

    /// The same, for what sweeps and operators do.
    async fn operate(&self, model: &mut ChainModel, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Price(price) => model.price = price,
            Step::Hurry => {
                model.hurry();
                hurry(self.pool).await;
            }
            Step::Release => {
                model.settle_ended();
                release_at(self.pool, model.price).await;
            }
            Step::Attribute(nth, at) if !model.deposits.is_empty() => {
                let nth = nth % model.deposits.len();
                let row = self.deposit(&model.deposits[nth]).await;
                let given = attribute_at(self.pool, row, &self.invoices[at], model.price).await;
                let refusal = given.err();
                prop_assert_eq!(refusal, model.attribute(nth, at));
            }
            Step::Lock(user, locked) => {
                model.locked[user] = locked;
                let mut connection = self.pool.acquire().await.unwrap();
                set_lock(&mut connection, self.users[user], locked)
                    .await
                    .unwrap();
            }
            _ => {}
        }
        Ok(())
    }

    async fn compare(&self, model: &ChainModel) -> Result<(), TestCaseError> {
        let rows = invoices(self.pool, &self.invoices).await;
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.status.as_str(),
                    row.confirming,
                    row.payments_received_micro,
                    row.version,
                    row.treasury_micro,
                )
            })
            .collect();
        let expected: Vec<_> = model.orders.iter().map(Order::shown).collect();
        prop_assert_eq!(seen, expected);
        for (user, expected) in self.users.iter().zip(&model.balances) {
            prop_assert_eq!(balance_of(self.pool, *user).await, *expected);
        }
        prop_assert_eq!(months(self.pool, &self.users).await, model.months.clone());
        self.compare_deposits(model).await
    }

    async fn compare_deposits(&self, model: &ChainModel) -> Result<(), TestCaseError> {
        let mut seen: Vec<Told> = sqlx::query_as(
            "select u.signature, d.rail, u.units::bigint, u.reason, u.invoice_id, u.resolution
             from unattributed_deposits u join deposit_accounts d using (account) where u.signature = any($1)",
        )
        .bind(&self.signatures)
        .fetch_all(self.pool)
        .await
        .unwrap();
        let told = |deposit: &Deposit| {
            (
                self.signatures[deposit.transaction].clone(),
                RAIL[deposit.rail].id().to_owned(),
                i64::try_from(deposit.units).unwrap(),
                deposit.reason.to_owned(),
                deposit
                    .invoice
                    .map(|at| self.invoices[at].as_str().to_owned()),
                deposit.resolution.map(str::to_owned),
            )
        };
        let waiting = model.waiting();
        let mut expected: Vec<_> = model.deposits.iter().chain(&waiting).map(told).collect();
        seen.sort();
        expected.sort();
        prop_assert_eq!(seen, expected);
        Ok(())
    }
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
