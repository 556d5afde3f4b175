//! Which queues an operator has paused: read from Postgres, so that a restart or a flush forgets nothing.

use std::time::Duration;

use shared::config::Config;
use shared::queue::{QUEUES, Queue};
use shared::telemetry::{Shutdown, supervised};
use sqlx::PgPool;
use tokio::sync::watch;

/// A flag per queue.
pub struct Pauses {
    flags: Vec<(Queue, watch::Receiver<bool>)>,
    never: (watch::Sender<bool>, watch::Receiver<bool>),
}

impl Pauses {
    /// Whether this queue is paused.
    pub fn of(&self, queue: Queue) -> watch::Receiver<bool> {
        let flag = self
            .flags
            .iter()
            .find(|(known, _)| *known == queue)
            .map(|(_, flag)| flag);
        flag.unwrap_or(&self.never.1).clone()
    }
}

/// Follows the table until the process stops. While Postgres is away the flags stay as they are.
pub fn follow(pool: PgPool, config: &Config, shutdown: Shutdown) -> Pauses {
    let (switches, flags): (Vec<_>, Vec<_>) = QUEUES
        .into_iter()
        .map(|queue| {
            // Paused until the table says otherwise: a worker that starts must not take jobs before it knows.
            let (switch, flag) = watch::channel(true);
            ((queue, switch), (queue, flag))
        })
        .unzip();
    let mut ticks = tokio::time::interval(Duration::from_millis(config.worker.pause_poll_ms));
    let patience = config.database.patience();
    supervised("pauses", async move {
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.wait() => return,
            }
            let asked = sqlx::query_scalar!("select queue from paused_queues").fetch_all(&pool);
            match tokio::time::timeout(patience, asked).await {
                Ok(Ok(paused)) => {
                    for (queue, switch) in &switches {
                        let now = paused.iter().any(|name| name == queue.name());
                        if switch.send_if_modified(|was| std::mem::replace(was, now) != now) {
                            let what = if now { "paused" } else { "resumed" };
                            tracing::info!("queue {} {what}", queue.name());
                        }
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "cannot read which queues are paused"),
                Err(_) => tracing::warn!("reading which queues are paused took too long"),
            }
        }
    });
    Pauses {
        flags,
        never: watch::channel(false),
    }
}
