//! Api processes that die or leave while calls are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use stack::client::ClientError;
use stack::{Console, Deployment};
use tokio::time::Instant;

use crate::support::client::{BROKEN, Connections, Heard, Verdict, judge};
use crate::support::database::slow_settlement;
use crate::support::queue::{pause, set_paused, until_holds};
use crate::support::storm::Storm;
use crate::support::truth::{check, check_all_paid};
use crate::support::wait::eventually;
use crate::support::world::{Debtor, PRICE, close, quick};

#[tokio::test]
async fn calls_of_a_killed_api_find_the_truth_at_another() {
    let deployment = quick().apis(2).start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 10, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(5)).await;
    let storm = Storm::start(&deployment, &debtors, 64, Connections::MayBreak);
    storm.until(20).await;
    deployment.kill_api(0).await;
    storm.assert_under_way();
    let settled = storm.end().await;
    let broken = settled
        .iter()
        .filter(|one| one.retries.iter().any(|why| why == BROKEN))
        .count();
    assert!(broken > 0, "no call was open at the killed api");
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    deployment.finish().await.unwrap();
}

/// Calls an api whose queue is paused, so that the calls stay open.
async fn call_all(debtors: &[Debtor], url: &str) -> Vec<(String, stack::Answer)> {
    let consoles: Vec<Console> = debtors
        .iter()
        .map(|debtor| debtor.console.at(url))
        .collect();
    let calls = debtors
        .iter()
        .zip(&consoles)
        .map(async |(debtor, console)| {
            let answer = console.pay(debtor.invoice()).await;
            (
                debtor.invoice().to_owned(),
                answer.expect("an open call is answered by a stopping api"),
            )
        });
    join_all(calls).await
}

#[tokio::test]
async fn a_stopping_api_answers_every_open_call() {
    let deployment = quick().apis(2).start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 40, 1).await;
    pause(&deployment).await;
    let open = {
        let (debtors, url) = (debtors.clone(), deployment.api(1).url().to_owned());
        tokio::spawn(async move { call_all(&debtors, &url).await })
    };
    until_holds(&deployment, 40).await;
    let resume = async {
        deployment
            .api(1)
            .wait_for_log("\"stopping\"", Duration::from_secs(5))
            .await
            .unwrap();
        set_paused(&deployment, false).await;
    };
    let (status, ()) = tokio::join!(deployment.api(1).terminate(), resume);
    assert_eq!(status.unwrap().code(), Some(0));
    for (invoice, answer) in open.await.unwrap() {
        let heard = judge(&invoice, &answer);
        assert_eq!(heard, Heard::Definite(Verdict::Paid { balance_micro: 0 }));
    }
    check(deployment.pool(), &debtors, &[]).await;
    close(deployment).await;
}

#[tokio::test]
async fn calls_that_nobody_settles_end_as_pending_before_a_stopping_api_leaves() {
    let deployment = quick()
        .apis(2)
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "3000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 20, 1).await;
    pause(&deployment).await;
    let open = {
        let (debtors, url) = (debtors.clone(), deployment.api(1).url().to_owned());
        tokio::spawn(async move { call_all(&debtors, &url).await })
    };
    until_holds(&deployment, 20).await;
    let asked = Instant::now();
    assert_eq!(deployment.api(1).terminate().await.unwrap().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "it waited {:?}",
        asked.elapsed()
    );
    for (invoice, answer) in open.await.unwrap() {
        assert_eq!(
            judge(&invoice, &answer),
            Heard::Again("settlement_pending".to_owned())
        );
    }
    set_paused(&deployment, false).await;
    let storm = Storm::start(&deployment, &debtors, 20, Connections::MayBreak);
    let settled = storm.end().await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    close(deployment).await;
}

#[tokio::test]
async fn an_api_that_stops_under_load_leaves_nothing_open() {
    let deployment = quick()
        .apis(2)
        .env("QUITTANCE_API_DRAIN_MS", "200")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 15, 20).await;
    slow_settlement(deployment.pool(), Duration::from_millis(10)).await;
    // A connection can only be refused, or closed before its request was read: both are "no answer" to this client.
    let storm = Storm::start(&deployment, &debtors, 32, Connections::MayBreak);
    storm.until(20).await;
    let status = storm.stop(deployment.api(1)).await;
    assert_eq!(
        status.code(),
        Some(0),
        "{:?}",
        deployment.api(1).logs().last()
    );
    let settled = storm.end().await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    close(deployment).await;
}

/// As a balancer does: asks an api whether it is ready, until it says no or does not answer.
async fn watch_readiness(url: String, ready: Arc<AtomicBool>) {
    let client = reqwest::Client::new();
    let is_ready = async || {
        let answer = client.get(format!("{url}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    while is_ready().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ready.store(false, Ordering::SeqCst);
}

/// Reads the balance again and again while the api is ready; returns whether each request that was sent was answered.
async fn read_while_ready(
    console: Console,
    ready: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> bool {
    while ready.load(Ordering::SeqCst) {
        match console.balance().await {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.text);
                answered.fetch_add(1, Ordering::SeqCst);
            }
            // Refused before it was sent: a balancer sends it elsewhere.
            Err(ClientError::NoAnswer { source, .. }) => return source.is_connect(),
            Err(error) => panic!("{error}"),
        }
    }
    true
}

/// How many of the readers lost a request that they had sent when this api stopped.
async fn broken_by_stopping(deployment: &Deployment, api: usize, reader: &Console) -> usize {
    const READERS: usize = 8;
    let url = deployment.api(api).url();
    let (ready, answered) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    tokio::spawn(watch_readiness(url.to_owned(), Arc::clone(&ready)));
    let readers = (0..READERS).map(|_| {
        tokio::spawn(read_while_ready(
            reader.at(url),
            Arc::clone(&ready),
            Arc::clone(&answered),
        ))
    });
    let readers: Vec<_> = readers.collect();
    eventually(
        "every reader is busy",
        Duration::from_secs(10),
        async || (answered.load(Ordering::SeqCst) >= READERS * 5).then_some(()),
    )
    .await;
    assert!(
        ready.load(Ordering::SeqCst),
        "not ready before it is stopped"
    );
    assert_eq!(
        deployment.api(api).terminate().await.unwrap().code(),
        Some(0)
    );
    let answered = join_all(readers).await.into_iter().map(Result::unwrap);
    answered.filter(|all| !all).count()
}

#[tokio::test]
async fn a_stopping_api_breaks_no_request() {
    // Far longer than the balancer takes to notice, however busy the machine is.
    let deployment = quick().env("QUITTANCE_API_DRAIN_MS", "4000").start().await;
    let mut deployment = deployment.unwrap();
    let reader = Debtor::create(&deployment, PRICE, 0).await.console;
    let mut broken = Vec::new();
    for _ in 0..5 {
        let api = deployment.start_api().await.unwrap();
        deployment.api(api).wait_until_ready().await.unwrap();
        broken.push(broken_by_stopping(&deployment, api, &reader).await);
    }
    assert_eq!(
        broken, [0; 5],
        "requests that were sent and not answered, for each stop"
    );
    close(deployment).await;
}
