//! Callers who each wait for their answer before they call again: for throughput.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::Run;
use crate::failure::BenchError;

/// Has these callers pay `count` times together, or until the time is over. `pay` makes the payment at a place and gives
/// its caller back.
pub async fn closed<C, P, F>(
    callers: Vec<C>,
    count: usize,
    time: Duration,
    pay: P,
) -> Result<Run, BenchError>
where
    C: Send + 'static,
    P: Fn(C, usize) -> F + Clone + Send + 'static,
    F: Future<Output = Result<C, BenchError>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let tasks = callers.into_iter().map(|mut caller| {
        let (pay, next) = (pay.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while begin.elapsed() < time {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= count {
                    break;
                }
                let sent = Instant::now();
                caller = pay(caller, place).await?;
                latencies.push(sent.elapsed());
            }
            // Given back, so that it ends after the last one has been answered.
            Ok::<_, BenchError>((caller, latencies))
        })
    });
    let ended = try_join_all(tasks).await?;
    let elapsed = begin.elapsed();
    let mut run = Run {
        elapsed,
        ..Run::default()
    };
    for caller in ended {
        run.latencies.extend(caller?.1);
    }
    run.paid = run.latencies.len();
    Ok(run)
}
