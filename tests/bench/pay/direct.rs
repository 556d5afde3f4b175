//! The debit called directly from Rust: no HTTP, no queue, one call and one commit for each payment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use sqlx::{Connection as _, PgConnection};

use crate::debit::{DEBIT, PAID, TRACE};
use crate::failure::BenchError;
use crate::load::Run;
use crate::stock::{Due, Payer};

/// Has so many callers, each with a connection of its own, debit until the time is over or everything is paid.
pub async fn direct(
    database_url: &str,
    payers: &Arc<Vec<Payer>>,
    dues: Vec<Due>,
    callers: usize,
    time: Duration,
) -> Result<Run, BenchError> {
    let (dues, next) = (Arc::new(dues), Arc::new(AtomicUsize::new(0)));
    let connections =
        try_join_all((0..callers).map(|_| PgConnection::connect(database_url))).await?;
    let begin = Instant::now();
    let until = begin + time;
    let tasks = connections.into_iter().map(|connection| {
        let (payers, dues, next) = (Arc::clone(payers), Arc::clone(&dues), Arc::clone(&next));
        tokio::spawn(call(connection, payers, dues, next, until))
    });
    let mut run = Run::default();
    for task in try_join_all(tasks).await? {
        run.latencies.append(&mut task?);
    }
    run.elapsed = begin.elapsed();
    run.paid = run.latencies.len();
    Ok(run)
}

async fn call(
    mut connection: PgConnection,
    payers: Arc<Vec<Payer>>,
    dues: Arc<Vec<Due>>,
    next: Arc<AtomicUsize>,
    until: Instant,
) -> Result<Vec<Duration>, BenchError> {
    let mut latencies = Vec::new();
    while Instant::now() < until
        && let Some(due) = dues.get(next.fetch_add(1, Ordering::Relaxed))
        && let Some(payer) = payers.get(due.payer)
    {
        let begin = Instant::now();
        let outcome: String = sqlx::query_scalar(DEBIT)
            .bind(due.invoice_id())
            .bind(payer.user_id)
            .bind(TRACE)
            .fetch_one(&mut connection)
            .await?;
        latencies.push(begin.elapsed());
        if outcome != PAID {
            return Err(BenchError::Answer(outcome));
        }
    }
    connection.close().await?;
    Ok(latencies)
}
