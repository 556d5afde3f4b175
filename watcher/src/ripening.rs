//! Which slots this watcher waits for to become final: the socket tells the chain's root with every slot, and finality is
//! asked for when the root passes what waits. A hint, like everything the socket tells.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// What is known of the root, and what waits for it.
#[derive(Debug, Default)]
pub struct Ripening {
    known: Mutex<Known>,
    /// Something that waited may be final.
    pub ripe: Notify,
}

#[derive(Debug, Default)]
struct Known {
    waiting: BTreeSet<u64>,
    root: Option<(u64, Instant)>,
}

impl Ripening {
    /// Something in this slot waits.
    pub fn wait_for(&self, slot: u64) {
        let mut known = self.known();
        if known.root.is_some_and(|(root, _)| slot <= root) {
            drop(known);
            self.ripe.notify_one();
        } else {
            known.waiting.insert(slot);
        }
    }

    /// The socket says that everything up to this slot is final.
    pub fn rooted(&self, root: u64) {
        let mut known = self.known();
        known.root = Some((root, Instant::now()));
        let later = known.waiting.split_off(&root.saturating_add(1));
        let is_ripe = !known.waiting.is_empty();
        known.waiting = later;
        drop(known);
        if is_ripe {
            self.ripe.notify_one();
        }
    }

    /// The root, if it was told within this time. Without it everything that waits has to be asked for.
    pub fn root(&self, age_max: Duration) -> Option<u64> {
        let root = self.known().root;
        root.filter(|(_, at)| at.elapsed() <= age_max)
            .map(|(root, _)| root)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
