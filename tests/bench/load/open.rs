//! Calls that come at their time, whether the earlier ones were answered or not: for latency. A call's time begins when
//! it should have been sent, so that a server that stalls cannot hide it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::sync::{Mutex, mpsc};
use tokio::time::MissedTickBehavior;

use super::{Connection, Requests, Run, connect, pay};
use crate::failure::BenchError;
use crate::measure::number;

/// Calls are sent in bunches, as the timer allows.
const TICK: Duration = Duration::from_millis(1);
/// Calls that may be open at once; more would have to wait, which counts.
const CONNECTIONS: usize = 512;

/// Pays at this rate until everything is paid. The first `warm_up` calls are not told of.
pub async fn open(requests: Requests, per_second: f64, warm_up: usize) -> Result<Run, BenchError> {
    let requests = Arc::new(requests);
    let count = requests.texts.len();
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(receiver));
    let connections = connect(requests.address, CONNECTIONS.min(count)).await?;
    let callers = connections.into_iter().map(|connection| {
        let (requests, receiver) = (Arc::clone(&requests), Arc::clone(&receiver));
        tokio::spawn(call(connection, requests, receiver, warm_up))
    });
    let callers: Vec<_> = callers.collect();
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
    let ended = try_join_all(callers).await?;
    let mut run = Run {
        elapsed: begin.elapsed(),
        paid: count,
        ..Run::default()
    };
    for caller in ended {
        run.latencies.extend(caller?.1);
    }
    Ok(run)
}

type Calls = Arc<Mutex<mpsc::UnboundedReceiver<(usize, Instant)>>>;

/// The connection is given back, so that it ends after the last call of all.
async fn call(
    mut connection: Connection,
    requests: Arc<Requests>,
    calls: Calls,
    warm_up: usize,
) -> Result<(Connection, Vec<Duration>), BenchError> {
    let mut latencies = Vec::new();
    loop {
        let call = calls.lock().await.recv().await;
        let Some((place, due)) = call else {
            return Ok((connection, latencies));
        };
        if let Some(request) = requests.texts.get(place) {
            pay(&mut connection, request).await?;
            if place >= warm_up {
                latencies.push(due.elapsed());
            }
        }
    }
}
