//! A thousand payments at once, and a worker that dies in their middle.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use tokio::time::Instant;

use crate::support::client::Connections;
use crate::support::database::{slow_settlement, until_settling};
use crate::support::queue::parked;
use crate::support::storm::Storm;
use crate::support::truth::check_all_paid;
use crate::support::world::{Debtor, quick_to_take_over};
use crate::watch::{BalanceWatch, InvoiceWatch};

const USERS: usize = 50;
/// As many as a user may have unpaid.
const EACH: usize = 20;
/// Invoices of each user whose streams are watched.
const WATCHED: usize = 4;
/// Things opened or ended at once.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn a_thousand_payments_at_once_survive_the_death_of_a_worker() {
    let deployment = quick_to_take_over()
        .apis(2)
        .workers(2)
        .env("QUITTANCE_PAY_WAIT_TIMEOUT_MS", "14000")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, USERS, EACH).await;
    let balances: Vec<BalanceWatch> = futures::stream::iter(debtors.iter().enumerate())
        .map(async |(number, debtor)| {
            BalanceWatch::start(&debtor.consoles(&deployment, number)[0]).await
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let sample = debtors
        .iter()
        .flat_map(|one| one.invoices[..WATCHED].iter().map(move |id| (one, id)));
    let invoices: Vec<InvoiceWatch> = futures::stream::iter(sample.enumerate())
        .map(async |(number, (debtor, id))| {
            InvoiceWatch::start(&debtor.consoles(&deployment, number)[0], id).await
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert_eq!((balances.len(), invoices.len()), (USERS, USERS * WATCHED));

    // A little slower than it is, so that the worker dies in the middle on a fast machine, too.
    slow_settlement(deployment.pool(), Duration::from_millis(1)).await;
    let started = Instant::now();
    let storm = Storm::start(&deployment, &debtors, USERS * EACH, Connections::Hold);
    storm.until(30).await;
    until_settling(deployment.pool()).await;
    deployment.kill_worker(0).await;
    storm.assert_under_way();
    let settled = storm.end().await;
    println!("{} payments in {:?}", settled.len(), started.elapsed());

    check_all_paid(deployment.pool(), &debtors, &settled).await;
    join_all(invoices.into_iter().map(InvoiceWatch::end)).await;
    let changes: Vec<_> = futures::stream::iter(balances)
        .map(|watch| watch.end(&deployment))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert_eq!(changes.iter().map(Vec::len).sum::<usize>(), USERS * EACH);
    assert!(parked(&deployment).await.is_empty());
    deployment.finish().await.unwrap();
}
