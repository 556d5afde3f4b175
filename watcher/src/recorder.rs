//! Group commit: everything that is examined while one transaction commits is recorded in the next one. No timer: when
//! little comes, a group is one payment.

use std::sync::Arc;
use std::time::Duration;

use shared::events::Publisher;
use shared::ids::TraceId;
use shared::settlement::{
    ChainPayment, KeptConnection, Recorded, Repeatable, SettleRules, SettlementError,
    record_chain_payments,
};
use shared::telemetry::supervised;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

/// Payments of one transaction at most.
const GROUP_MAX: usize = 32;
/// How long a group waits for a lock: whoever is held up by one waits alone, and holds nobody else up.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// How many are recorded alone at once.
const ALONE_MAX: usize = 8;

struct Request {
    payment: ChainPayment,
    rules: SettleRules,
    answer: oneshot::Sender<Result<(), Arc<SettlementError>>>,
}

/// Hands payments over. Cheap to clone; recording ends with the last clone.
#[derive(Clone)]
pub struct Recorder(mpsc::Sender<Request>);

impl Recorder {
    /// Starts recording for a watcher; the task ends once everything is recorded after the last clone is gone.
    #[must_use]
    pub fn spawn(
        watcher: Uuid,
        pool: PgPool,
        publisher: Publisher,
        patience: Duration,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(GROUP_MAX);
        let books = Books {
            watcher,
            connection: KeptConnection::new(pool.clone(), patience),
            publisher: publisher.clone(),
        };
        let alone = move || Books {
            watcher,
            connection: KeptConnection::new(pool.clone(), patience),
            publisher: publisher.clone(),
        };
        (
            Self(sender),
            supervised("recorder", run(receiver, books, alone)),
        )
    }

    /// Records a payment together with whatever else is waiting, by rules that hold now.
    pub async fn record(
        &self,
        payment: ChainPayment,
        rules: SettleRules,
    ) -> Result<(), Arc<SettlementError>> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            payment,
            rules,
            answer,
        };
        let stopped = || Arc::new(SettlementError::Database(sqlx::Error::WorkerCrashed));
        if self.0.send(request).await.is_err() {
            return Err(stopped());
        }
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

async fn run(mut receiver: mpsc::Receiver<Request>, mut books: Books, alone: impl Fn() -> Books) {
    let mut waiting = JoinSet::new();
    let places = Arc::new(Semaphore::new(ALONE_MAX));
    let mut group = Vec::with_capacity(GROUP_MAX);
    while receiver.recv_many(&mut group, GROUP_MAX).await > 0 {
        while waiting.try_join_next().is_some() {}
        let size = f64::from(u32::try_from(group.len()).unwrap_or(u32::MAX));
        metrics::histogram!("quittance_chain_group_size").record(size);
        match books.record(&group, Some(WAIT_MAX)).await {
            Ok(()) => answer(&mut group, &Ok(())),
            Err(error) if error.is_transient() && !error.is_contention() => {
                answer(&mut group, &Err(Arc::new(error)));
            }
            // One of them is held up, or refused: that is no matter of the others.
            Err(_) => {
                for request in group.drain(..) {
                    let (mut books, places) = (alone(), Arc::clone(&places));
                    waiting.spawn(async move {
                        let _place = places.acquire().await;
                        let mut group = vec![request];
                        let recorded = books.record(&group, None).await.map_err(Arc::new);
                        answer(&mut group, &recorded);
                    });
                }
            }
        }
    }
    waiting.join_all().await;
}

fn answer(group: &mut Vec<Request>, recorded: &Result<(), Arc<SettlementError>>) {
    for request in group.drain(..) {
        // Whoever has gone finds it recorded.
        let _ = request.answer.send(recorded.clone());
    }
}

struct Books {
    watcher: Uuid,
    connection: KeptConnection,
    publisher: Publisher,
}

impl Books {
    /// One transaction.
    async fn record(
        &mut self,
        group: &[Request],
        wait_max: Option<Duration>,
    ) -> Result<(), SettlementError> {
        let Some(rules) = group.last().map(|request| request.rules) else {
            return Ok(());
        };
        let payments: Vec<&ChainPayment> = group.iter().map(|request| &request.payment).collect();
        let group = Group {
            payments,
            rules,
            watcher: self.watcher,
            wait_max,
            trace: TraceId::generate(),
        };
        let recorded = self.connection.carry_out(&group).await?;
        tell(&group.payments, &recorded, &group.trace);
        if let Some(publication) = recorded.publication {
            self.publisher.publish(publication);
        }
        Ok(())
    }
}

/// What one transaction records.
struct Group<'a> {
    payments: Vec<&'a ChainPayment>,
    rules: SettleRules,
    watcher: Uuid,
    wait_max: Option<Duration>,
    trace: TraceId,
}

impl Repeatable for Group<'_> {
    type Done = Recorded;

    async fn carry_out(&self, connection: &mut PgConnection) -> Result<Recorded, SettlementError> {
        record_chain_payments(
            connection,
            &self.payments,
            &self.rules,
            Some(self.watcher),
            self.wait_max,
            &self.trace,
        )
        .await
    }
}

/// Tells the log and the metrics.
fn tell(payments: &[&ChainPayment], recorded: &Recorded, trace: &TraceId) {
    for payment in payments {
        let (signature, slot) = (&payment.signature, payment.slot);
        let commitment = payment.commitment.name();
        for credit in &payment.verdict.credits {
            tracing::info!(
                %signature, slot, commitment, invoice_id = %credit.invoice, units = credit.units,
                trace_id = %trace, "payment on chain"
            );
        }
        for open in &payment.verdict.open {
            tracing::warn!(
                %signature, slot, commitment, account = %open.account, units = open.units,
                reason = open.reason.name(), "money on chain without an invoice"
            );
        }
    }
    for invoice in &recorded.paid {
        tracing::info!(invoice_id = %invoice, trace_id = %trace, "paid on chain");
        metrics::counter!("quittance_chain_invoices_paid_total").increment(1);
    }
}
