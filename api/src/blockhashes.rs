//! The newest blockhash, for transactions to sign. Asked by many, read by one at a time, and kept for a moment: the
//! nodes' calls do not grow with those who ask.

use std::time::{Duration, Instant};

use shared::chain::{Blockhash, Commitment, NodeError, Nodes, SlotClock};
use time::OffsetDateTime;
use tokio::sync::Mutex;

/// The part of its life for which a blockhash is given to payers at most: on a fast chain it lives for seconds.
const LIFE_PART: u32 = 10;
/// How long a failed reading is not repeated.
const FAILED_FOR: Duration = Duration::from_millis(500);

/// A blockhash to build on.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    pub blockhash: Blockhash,
    /// Until when it may be trusted, as it was when it was read.
    pub valid_until: OffsetDateTime,
}

/// The newest blockhash that was read.
pub struct Blockhashes {
    nodes: Nodes,
    keep: Duration,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    fresh: Result<Fresh, NodeError>,
    /// When to read again.
    due_at: Instant,
}

impl Blockhashes {
    /// Of these nodes, each kept for so long at most.
    pub fn new(nodes: Nodes, keep: Duration) -> Self {
        Self {
            nodes,
            keep,
            known: Mutex::default(),
        }
    }

    /// One to build on.
    pub async fn fresh(&self, clock: &SlotClock) -> Result<Fresh, NodeError> {
        let mut known = self.known.lock().await;
        if let Some(now) = known.as_ref().filter(|now| Instant::now() < now.due_at) {
            return now.fresh.clone();
        }
        // Before the question: what is true now stays true for no longer than from now on.
        let (asked_at, wall) = (Instant::now(), OffsetDateTime::now_utc());
        let read = tokio::try_join!(
            self.nodes.latest_blockhash(),
            self.nodes.block_height(Commitment::Confirmed)
        );
        let now = match read {
            Ok((blockhash, height)) => {
                clock.observe(Instant::now(), height);
                let trust = clock.trust(blockhash.last_valid_height, height);
                Known {
                    fresh: Ok(Fresh {
                        blockhash,
                        valid_until: wall + trust,
                    }),
                    due_at: asked_at + self.keep.min(trust / LIFE_PART),
                }
            }
            Err(error) => Known {
                fresh: Err(error),
                due_at: Instant::now() + FAILED_FOR.min(self.keep),
            },
        };
        *known = Some(now.clone());
        now.fresh
    }
}
