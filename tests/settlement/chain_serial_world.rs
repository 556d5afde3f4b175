//! A random history in a database, step by step.

use proptest::prelude::*;
use shared::chain::Commitment;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::settlement::{
    SettleRules, cancel, expire, reverse_chain_payment, set_lock, settle_from_balance,
};
use sqlx::PgPool;

use crate::chain_look::{Look as Sight, attribute_at, hurry, record_together, release_at};
use crate::chain_model::ChainModel;
use crate::chain_order::{Deposit, Effect, Order};
use crate::chain_serial::{Look, Scenario, Step};
use crate::chain_world::{
    Bill, Effects, RAIL, account, bill_as, invoices, let_lapse, let_wait, months, signature,
};
use crate::model::ModelUser;
use crate::world::{balance_of, create_user};

/// What landed so long ago was in time for every invoice.
const EARLY_SECONDS: i64 = 5400;

/// Signature, rail, units, reason, invoice and resolution of a deposit.
type Told = (String, String, i64, String, Option<String>, Option<String>);

/// The model's counterpart in the database.
pub struct World<'a> {
    pool: &'a PgPool,
    /// By the model's index.
    pub users: Vec<UserId>,
    /// By the model's index, which is the order of their ids.
    pub invoices: Vec<InvoiceId>,
    signatures: Vec<String>,
}

impl<'a> World<'a> {
    /// Creates everything that the model has.
    pub async fn create(pool: &'a PgPool, scenario: &Scenario) -> Self {
        let mut users = Vec::new();
        for balance_micro in &scenario.model.balances {
            let user = ModelUser {
                balance_micro: *balance_micro,
                locked: false,
            };
            users.push(create_user(pool, &user).await);
        }
        let orders = &scenario.model.orders;
        let mut invoices: Vec<_> = orders.iter().map(|_| InvoiceId::generate()).collect();
        invoices.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        for (order, id) in orders.iter().zip(&invoices) {
            let wanted = Bill {
                rail: RAIL[order.rail],
                amount_micro: order.amount_micro,
                rate_micro: order.rate_micro,
                topup: order.topup,
            };
            bill_as(pool, id, users[order.owner], wanted).await;
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

    async fn look(&self, model: &ChainModel, looks: &[(Look, Effects)]) {
        let rules = SettleRules {
            at_confirmed: model.at_confirmed,
            sol_price_micro: model.price,
            ..SettleRules::default()
        };
        let payment = |(look, effects): &(Look, Effects)| {
            let commitment = if look.sighting.is_final {
                Commitment::Finalized
            } else {
                Commitment::Confirmed
            };
            let mut as_seen = Sight::at(commitment);
            if look.sighting.early {
                as_seen = as_seen.landed(EARLY_SECONDS);
            }
            as_seen.payment(&self.signatures[look.transaction], effects)
        };
        let payments: Vec<_> = looks.iter().map(payment).collect();
        record_together(self.pool, &payments, &rules).await.unwrap();
    }

    /// The row of a deposit of the model.
    async fn deposit(&self, deposit: &Deposit) -> i64 {
        sqlx::query_scalar(
            "select id from unattributed_deposits
             where signature = $1 and reason = $2 and invoice_id is not distinct from $3
               and account = $4",
        )
        .bind(&self.signatures[deposit.transaction])
        .bind(deposit.reason)
        .bind(
            deposit
                .invoice
                .map(|at| self.invoices[at].as_str().to_owned()),
        )
        .bind(account(RAIL[deposit.rail]).to_string())
        .fetch_one(self.pool)
        .await
        .unwrap()
    }

    /// Does one step here and in the model; the answers must agree.
    pub async fn take(
        &self,
        model: &mut ChainModel,
        effects: &[[Effect; 2]],
        step: &Step,
    ) -> Result<(), TestCaseError> {
        let trace = TraceId::generate();
        match *step {
            Step::Look(ref looks) => {
                let effect = |look: &Look| &effects[look.transaction][look.fork];
                let seen: Vec<_> = looks
                    .iter()
                    .map(|look| (look.transaction, effect(look), look.sighting))
                    .collect();
                model.record(&seen);
                let done: Vec<_> = looks
                    .iter()
                    .map(|look| (*look, self.effects(model, effect(look))))
                    .collect();
                self.look(model, &done).await;
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

    /// Everything is as the model says.
    pub async fn compare(&self, model: &ChainModel) -> Result<(), TestCaseError> {
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
