//! Calls that come at their time, whether the earlier ones were answered or not: for latency. A call's time begins when
//! it should have been sent, so that a server that stalls cannot hide it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::{Connection, Requests, Run, pay};
use crate::failure::BenchError;
use crate::measure::number;

/// Calls are sent in bunches, as the timer allows.
const TICK: Duration = Duration::from_millis(1);
/// Calls that may be open at once; more would have to wait, which counts.
const CONNECTIONS: usize = 512;

/// Pays at this rate until everything is paid.
pub async fn open(requests: Requests, per_second: f64) -> Result<Run, BenchError> {
    let requests = Arc::new(requests);
    let count = requests.texts.len();
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(receiver));
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS.min(count) {
        let connection = Connection::open(requests.address).await?;
        callers.spawn(call(
            connection,
            Arc::clone(&requests),
            Arc::clone(&receiver),
        ));
    }
    let begin = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while sent < count {
        let due = ticks.tick().await.into_std();
        let elapsed = due.saturating_duration_since(begin);
        while sent < count && number(sent) < elapsed.as_secs_f64() * per_second {
            // Callers end before this one only when a call has failed, which they tell.
            let _ = sender.send((sent, due));
            sent += 1;
        }
    }
    drop(sender);
    let mut run = Run::default();
    while let Some(caller) = callers.join_next().await {
        run.latencies.append(&mut caller??);
    }
    run.elapsed = begin.elapsed();
    run.paid = run.latencies.len();
    Ok(run)
}

type Calls = Arc<Mutex<mpsc::UnboundedReceiver<(usize, Instant)>>>;

async fn call(
    mut connection: Connection,
    requests: Arc<Requests>,
    calls: Calls,
) -> Result<Vec<Duration>, BenchError> {
    let mut latencies = Vec::new();
    loop {
        let call = calls.lock().await.recv().await;
        let Some((place, due)) = call else {
            return Ok(latencies);
        };
        if let Some(request) = requests.texts.get(place) {
            pay(&mut connection, request).await?;
            latencies.push(due.elapsed());
        }
    }
}
