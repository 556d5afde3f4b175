//! Payments that race each other, or a lock: one debit at most, and answers that agree.

use futures::StreamExt as _;
use futures::future::{join, join_all};
use stack::Deployment;

use crate::support::client::{Connections, Settled, Verdict, pay_once, pay_until_definite};
use crate::support::truth::{check, standing};
use crate::support::world::{Debtor, PRICE, quick};

/// Races of two calls, each with users and invoices of its own, and how many run at once.
const PAIRS: usize = 80;
const PAIRS_AT_ONCE: usize = 8;

/// Two apis and two workers, so that a race is not decided by being in one process.
async fn two_of_each() -> Deployment {
    quick().apis(2).workers(2).start().await.unwrap()
}

/// One call for each invoice, at once, each at another api.
async fn pay_at_once(
    deployment: &Deployment,
    debtor: &Debtor,
    invoices: &[String],
) -> Vec<Settled> {
    let calls = invoices.iter().enumerate().map(async |(number, invoice)| {
        let consoles = debtor.consoles(deployment, number);
        pay_until_definite(&consoles, invoice, Connections::Hold).await
    });
    join_all(calls).await
}

#[tokio::test]
async fn a_double_click_is_one_payment_and_two_equal_answers() {
    let deployment = two_of_each().await;
    let debtors = Debtor::create_many(&deployment, PAIRS, 1).await;
    let settled: Vec<Settled> = futures::stream::iter(&debtors)
        .map(|debtor| {
            let twice = [debtor.invoice().to_owned(), debtor.invoice().to_owned()];
            let deployment = &deployment;
            async move { pay_at_once(deployment, debtor, &twice).await }
        })
        .buffer_unordered(PAIRS_AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .concat();
    assert_eq!(settled.len(), PAIRS * 2);
    for one in &settled {
        assert_eq!(one.verdict, Verdict::Paid { balance_micro: 0 });
    }
    check(deployment.pool(), &debtors, &settled).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_hundred_identical_calls_are_one_debit() {
    let deployment = two_of_each().await;
    let debtor = Debtor::create(&deployment, PRICE * 3, 1).await;
    let calls = vec![debtor.invoice().to_owned(); 100];
    let settled = pay_at_once(&deployment, &debtor, &calls).await;
    for one in &settled {
        assert_eq!(
            one.verdict,
            Verdict::Paid {
                balance_micro: PRICE * 2
            }
        );
        assert_eq!(one.retries, [""; 0]);
    }
    let entries = debtor.console.entries("limit=200").await.unwrap();
    let entries = entries.body["entries"].as_array().unwrap().clone();
    let debits: Vec<_> = entries
        .iter()
        .filter(|entry| entry["kind"] == "invoice_debit")
        .collect();
    assert_eq!(debits.len(), 1);
    assert_eq!(debits[0]["ref_invoice_id"], debtor.invoice());
    assert_eq!(debits[0]["delta_micro"], -PRICE);
    check(deployment.pool(), &[debtor], &settled).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_balance_for_one_invoice_pays_exactly_one_of_two() {
    let deployment = two_of_each().await;
    let debtors = Debtor::create_many_with(&deployment, PAIRS, 2, PRICE + PRICE / 2).await;
    let pairs: Vec<Vec<Settled>> = futures::stream::iter(&debtors)
        .map(|debtor| pay_at_once(&deployment, debtor, &debtor.invoices))
        .buffer_unordered(PAIRS_AT_ONCE)
        .collect()
        .await;
    for pair in &pairs {
        let paid = pair.iter().filter(|one| one.verdict.is_paid()).count();
        let refused = Verdict::refused("insufficient_balance");
        let without_money = pair.iter().filter(|one| one.verdict == refused).count();
        assert_eq!((paid, without_money), (1, 1), "{pair:?}");
    }
    check(deployment.pool(), &debtors, &pairs.concat()).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_locked_balance_refuses_until_it_is_unlocked() {
    let deployment = two_of_each().await;
    let debtor = Debtor::create(&deployment, PRICE, 1).await;
    let (user, operator) = (debtor.console.user_id(), deployment.operator());
    assert_eq!(operator.lock(user).await.unwrap().status, 200);
    let answers = pay_at_once(&deployment, &debtor, &vec![debtor.invoice().to_owned(); 20]).await;
    for one in &answers {
        assert_eq!(one.verdict, Verdict::refused("balance_locked"));
    }
    assert_eq!(
        standing(deployment.pool(), debtor.invoice()).await,
        ("pending".to_owned(), 0)
    );

    assert_eq!(operator.unlock(user).await.unwrap().status, 200);
    let verdict = pay_once(&debtor.console, debtor.invoice()).await;
    assert_eq!(verdict, Verdict::Paid { balance_micro: 0 });
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_races_a_payment_holds_from_its_answer_on() {
    let deployment = two_of_each().await;
    let debtors = Debtor::create_many(&deployment, PAIRS, 2).await;
    let races = futures::stream::iter(&debtors).map(async |debtor| {
        let [raced, after] = debtor.invoices.as_slice() else {
            panic!("two invoices")
        };
        let consoles = debtor.consoles(&deployment, 0);
        let pay = pay_until_definite(&consoles, raced, Connections::Hold);
        let lock = deployment.operator().lock(debtor.console.user_id());
        let (settled, locked) = join(pay, lock).await;
        assert_eq!(locked.unwrap().status, 200);
        let refused = Verdict::refused("balance_locked");
        assert!(
            settled.verdict.is_paid() || settled.verdict == refused,
            "{settled:?}"
        );
        let later = pay_until_definite(&consoles, after, Connections::Hold).await;
        assert_eq!(
            later.verdict, refused,
            "the lock was answered before this call"
        );
        vec![settled, later]
    });
    let settled: Vec<_> = races.buffer_unordered(PAIRS_AT_ONCE).collect().await;
    check(deployment.pool(), &debtors, &settled.concat()).await;
    deployment.finish().await.unwrap();
}
