//! Callers who each wait for their answer before they call again: for throughput.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::{Connection, Requests, Run, pay};
use crate::failure::BenchError;

/// Has so many callers pay until the time is over or everything is paid, whichever comes first.
pub async fn closed(requests: Requests, callers: usize, time: Duration) -> Result<Run, BenchError> {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let connections =
        try_join_all((0..callers).map(|_| Connection::open(requests.address))).await?;
    let begin = Instant::now();
    let tasks = connections.into_iter().map(|connection| {
        let caller = call(
            connection,
            Arc::clone(&requests),
            Arc::clone(&next),
            begin + time,
        );
        tokio::spawn(caller)
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
    mut connection: Connection,
    requests: Arc<Requests>,
    next: Arc<AtomicUsize>,
    until: Instant,
) -> Result<Vec<Duration>, BenchError> {
    let mut latencies = Vec::new();
    while Instant::now() < until
        && let Some(request) = requests.texts.get(next.fetch_add(1, Ordering::Relaxed))
    {
        let begin = Instant::now();
        pay(&mut connection, request).await?;
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}
