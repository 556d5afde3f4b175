//! Waiting for a condition, with a bound.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(20);

static SERVERS: Mutex<()> = Mutex::const_new(());

/// The turn of a test that kills servers: those are slow to come back, so only one does it at a time.
pub async fn turn_to_kill_servers() -> MutexGuard<'static, ()> {
    SERVERS.lock().await
}

/// Waits until the probe finds something, and returns it.
///
/// # Panics
/// When that takes longer than the limit.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(POLL).await;
    }
}
