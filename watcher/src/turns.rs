//! Turns at recording: a few payments at once are recorded sooner than many, which keep each other from the processor.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

const AT_ONCE: usize = 2;
/// The longest wait for a turn: whoever is held up by a lock holds up nobody else for longer.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Who records now.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turns {
    /// Waits for a turn, which lasts until it is dropped; whoever has waited long enough goes without.
    pub async fn wait(&self) -> Option<SemaphorePermit<'_>> {
        timeout(WAIT_MAX, self.0.acquire()).await.ok()?.ok()
    }
}
