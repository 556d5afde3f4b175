//! Slots that come by themselves.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::FakeChain;

/// Produces a slot at every beat, until it is dropped.
#[derive(Debug)]
#[must_use = "slots stop coming when it is dropped"]
pub struct Ticker {
    task: JoinHandle<()>,
}

impl Ticker {
    pub(crate) fn start(chain: FakeChain, beat: Duration) -> Self {
        let task = tokio::spawn(async move {
            let mut beats = tokio::time::interval(beat);
            beats.tick().await;
            loop {
                beats.tick().await;
                chain.advance(1);
            }
        });
        Self { task }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}
