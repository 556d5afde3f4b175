//! Many payments at once, watched while they run.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use stack::{Deployment, Service};
use tokio::task::JoinHandle;

use super::client::{Connections, Settled, pay_until_definite};
use super::wait::eventually;
use super::world::Debtor;

/// Payments under way.
pub struct Storm {
    payments: usize,
    answered: Arc<AtomicUsize>,
    running: JoinHandle<Vec<Settled>>,
}

impl Storm {
    /// Pays every invoice of every debtor, so many at once, spread over the apis.
    pub fn start(
        deployment: &Deployment,
        debtors: &[Debtor],
        at_once: usize,
        connections: Connections,
    ) -> Self {
        // One invoice of each user after the other, so that users mix.
        let longest = debtors
            .iter()
            .map(|debtor| debtor.invoices.len())
            .max()
            .unwrap_or(0);
        let mut calls = Vec::new();
        for round in 0..longest {
            for (number, debtor) in debtors.iter().enumerate() {
                if let Some(invoice) = debtor.invoices.get(round) {
                    calls.push((debtor.consoles(deployment, round + number), invoice.clone()));
                }
            }
        }
        let (payments, answered) = (calls.len(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&answered);
        let running = tokio::spawn(async move {
            futures::stream::iter(calls)
                .map(|(consoles, invoice)| {
                    let counter = Arc::clone(&counter);
                    async move {
                        let settled = pay_until_definite(&consoles, &invoice, connections).await;
                        counter.fetch_add(1, Ordering::SeqCst);
                        settled
                    }
                })
                .buffer_unordered(at_once)
                .collect()
                .await
        });
        Self {
            payments,
            answered,
            running,
        }
    }

    /// How many calls have their definite answer.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Waits until this share of the calls is answered.
    ///
    /// # Panics
    /// When all are: then what follows would not happen under load.
    pub async fn until(&self, percent: usize) {
        self.until_answered(self.payments * percent / 100).await;
        self.assert_under_way();
    }

    /// Waits until so many calls are answered.
    pub async fn until_answered(&self, wanted: usize) {
        eventually("the storm goes on", Duration::from_mins(1), async || {
            let over = self.running.is_finished() && self.answered() < self.payments;
            (over || self.answered() >= wanted).then_some(())
        })
        .await;
    }

    /// Asserts that calls are still open.
    pub fn assert_under_way(&self) {
        assert!(
            !self.running.is_finished(),
            "the storm ended with {} answers",
            self.answered()
        );
    }

    /// Stops a service while calls are open.
    pub async fn stop(&self, service: &Service) -> ExitStatus {
        let limit = Duration::from_secs(20);
        let stopping = async {
            service.wait_for_log("\"stopping\"", limit).await.unwrap();
            self.assert_under_way();
        };
        let (status, ()) = tokio::join!(service.terminate(), stopping);
        status.unwrap()
    }

    /// Waits for the last answer; prints why calls were repeated.
    pub async fn end(self) -> Vec<Settled> {
        let settled = self.running.await.unwrap();
        assert_eq!(settled.len(), self.payments);
        let mut retries: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in settled.iter().flat_map(|one| &one.retries) {
            *retries.entry(reason).or_default() += 1;
        }
        let longest = settled.iter().map(|one| one.took).max().unwrap_or_default();
        println!(
            "{} payments, longest {longest:?}, asked again: {retries:?}",
            self.payments
        );
        settled
    }
}
