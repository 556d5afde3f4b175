//! Any batches, in any order, with repetitions, answer as the model answers one request after the other.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::settlement::settle_from_balance;
use sqlx::PgPool;
use stack::Deployment;

use crate::model::{Model, ModelInvoice, ModelUser, Standing};
use crate::world::{World, balance_of};

/// Cases per run; each creates its own users and invoices.
const CASES: u32 = 150;

#[derive(Debug, Clone)]
struct Scenario {
    model: Model,
    batches: Vec<Vec<(usize, usize)>>,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    (1_usize..4, 1_usize..10).prop_flat_map(|(user_count, invoice_count)| {
        let user =
            (0_i64..120, proptest::bool::weighted(0.15)).prop_map(|(balance_micro, locked)| {
                ModelUser {
                    balance_micro,
                    locked,
                }
            });
        let standing = prop_oneof![
            6 => Just(Standing::Pending),
            1 => Just(Standing::Overdue),
            1 => Just(Standing::Cancelled),
        ];
        let invoice = (
            0..user_count,
            1_i64..60,
            proptest::bool::weighted(0.1),
            standing,
        )
            .prop_map(|(owner, amount_micro, topup, standing)| ModelInvoice {
                owner,
                amount_micro,
                topup,
                standing,
            });
        // One index beyond the invoices stands for an unknown one.
        let request = (0..=invoice_count, 0..user_count);
        let batches = prop::collection::vec(prop::collection::vec(request, 1..12), 1..4);
        (
            prop::collection::vec(user, user_count),
            prop::collection::vec(invoice, invoice_count),
            batches,
        )
            .prop_map(|(users, invoices, batches)| Scenario {
                model: Model { users, invoices },
                batches,
            })
    })
}

async fn check(pool: &PgPool, scenario: Scenario) -> Result<(), TestCaseError> {
    let Scenario { mut model, batches } = scenario;
    let world = World::create(pool, &model).await;
    for batch in batches {
        let requests: Vec<_> = batch
            .iter()
            .map(|(invoice, user)| world.request(*invoice, *user))
            .collect();
        let settled = settle_from_balance(pool, &requests).await.unwrap();
        // A repetition inside a batch is answered like its first; so is the model asked.
        let mut answered: Vec<((usize, usize), _)> = Vec::new();
        for (pair, outcome) in batch.into_iter().zip(settled.outcomes) {
            let known = answered
                .iter()
                .find(|(asked, _)| *asked == pair)
                .map(|(_, outcome)| outcome);
            let expected = known.cloned().unwrap_or_else(|| model.pay(pair.0, pair.1));
            prop_assert_eq!(&outcome, &expected, "{:?}", pair);
            answered.push((pair, expected));
        }
    }
    for (user, expected) in world.users.iter().zip(&model.users) {
        prop_assert_eq!(balance_of(pool, *user).await, expected.balance_micro);
    }
    for (id, expected) in world.invoices.iter().zip(&model.invoices) {
        let paid: bool = sqlx::query_scalar("select status = 'paid' from invoices where id = $1")
            .bind(id.as_str())
            .fetch_one(pool)
            .await
            .unwrap();
        prop_assert_eq!(paid, expected.standing == Standing::Paid);
    }
    Ok(())
}

#[test]
fn batches_answer_as_one_request_after_the_other() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let deployment = runtime
        .block_on(Deployment::builder().apis(1).workers(1).start())
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: CASES,
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
