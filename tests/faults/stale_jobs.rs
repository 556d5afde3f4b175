//! Copies of a job that outlive their call: a refusal that was answered stays true until the user pays again.

use std::time::Duration;

use stack::secret::random_token;

use crate::support::client::{Connections, Verdict, pay_once, pay_until_definite};
use crate::support::database::hold_invoice;
use crate::support::queue::{pause, pending, set_paused, take_and_fall_silent, until_empty};
use crate::support::truth::{balance, standing};
use crate::support::wait::eventually;
use crate::support::world::{Debtor, PRICE, quick_to_take_over};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_job_of_a_dead_worker_does_not_pay_after_the_call_was_refused() {
    let deployment = quick_to_take_over()
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "2500")
        .start()
        .await
        .unwrap();
    let debtor = Debtor::create(&deployment, 0, 1).await;
    let user = debtor.console.user_id();
    pause(&deployment).await;
    let call = {
        let debtor = debtor.clone();
        tokio::spawn(async move {
            let consoles = [debtor.console.clone()];
            pay_until_definite(&consoles, debtor.invoice(), Connections::Hold).await
        })
    };
    // The first copy of the job goes to a worker that dies with it; the copy sent a second later is carried out.
    eventually("the job waits", LIMIT, async || {
        take_and_fall_silent(&deployment).await.then_some(())
    })
    .await;
    set_paused(&deployment, false).await;
    let settled = call.await.unwrap();
    assert_eq!(settled.verdict, Verdict::refused("insufficient_balance"));
    assert_eq!(
        pending(&deployment).await.ids.len(),
        1,
        "the dead worker's copy is still there"
    );

    // The user tops up for something else. Nobody asks to pay that invoice any more.
    deployment
        .operator()
        .adjust(user, PRICE, "a top-up", &random_token())
        .await
        .unwrap();
    until_empty(&deployment, LIMIT).await;
    assert_eq!(
        standing(deployment.pool(), debtor.invoice()).await,
        ("pending".to_owned(), 0),
        "the call was answered 409 insufficient_balance, and then the invoice was paid all the same"
    );
    assert_eq!(balance(deployment.pool(), user).await, PRICE);

    assert!(pay_once(&debtor.console, debtor.invoice()).await.is_paid());
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_job_that_worked_for_long_does_not_pay_after_the_lock_was_answered() {
    let deployment = quick_to_take_over().start().await.unwrap();
    let debtor = Debtor::create(&deployment, PRICE, 1).await;
    let (user, operator) = (debtor.console.user_id(), deployment.operator());
    let holder = hold_invoice(deployment.pool(), debtor.invoice()).await;
    let call = {
        let debtor = debtor.clone();
        tokio::spawn(async move {
            let consoles = [debtor.console.clone()];
            pay_until_definite(&consoles, debtor.invoice(), Connections::Hold).await
        })
    };
    eventually("a worker holds the job", LIMIT, async || {
        (!pending(&deployment).await.ids.is_empty()).then_some(())
    })
    .await;
    assert_eq!(operator.lock(user).await.unwrap().status, 200);
    holder.rollback().await.unwrap();
    assert_eq!(
        call.await.unwrap().verdict,
        Verdict::refused("balance_locked")
    );
    until_empty(&deployment, LIMIT).await;
    assert_eq!(balance(deployment.pool(), user).await, PRICE);
    deployment.finish().await.unwrap();
}
