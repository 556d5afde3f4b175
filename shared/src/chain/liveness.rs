//! Whether a node is of use: one that keeps failing, or stands still, is not waited for for ever. What it fails at is told
//! apart: a node that tells its slot and refuses transactions says nothing about payments.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use solana_rpc_client_api::request::RpcRequest;

/// What a node's word about payments rests on.
const EVIDENCE: [RpcRequest; 4] = [
    RpcRequest::GetTransaction,
    RpcRequest::GetSignatureStatuses,
    RpcRequest::GetSignaturesForAddress,
    RpcRequest::GetSlot,
];

/// Fewer failures are an accident, however far apart.
const FAILURES_MIN: u32 = 3;

/// When any node of a deployment was further than before: a chain that stands still is no fault of its nodes.
pub(super) type Front = Arc<Mutex<Option<Instant>>>;

/// What is known of one node's usefulness.
#[derive(Debug)]
pub(super) struct Liveness {
    /// How long a node may be of no use before it is left out.
    patience: Duration,
    front: Front,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Failures of each kind of question without an answer between.
    failing: [Option<Failing>; EVIDENCE.len()],
    /// How far it said to be last.
    finalized: Option<Stand>,
    was_left_out: bool,
    /// When it was last asked each kind of question although it is left out: an answer to one tells nothing of another.
    probed_at: [Option<Instant>; EVIDENCE.len()],
}

#[derive(Debug)]
struct Failing {
    first_at: Instant,
    last_at: Instant,
    count: u32,
    /// The parameters of the question that it failed at last.
    params: Value,
}

/// A final slot, as long as it was told. Both ends are answers: that nobody asked says nothing.
#[derive(Debug, Clone, Copy)]
struct Stand {
    slot: u64,
    first_at: Instant,
    last_at: Instant,
}

impl Known {
    fn is_left_out(&self, patience: Duration, front: &Front) -> bool {
        let front = *front.lock().unwrap_or_else(PoisonError::into_inner);
        let is_long = |from: Instant, to: Instant| to.saturating_duration_since(from) > patience;
        let is_failing = |failing: &Failing| {
            failing.count >= FAILURES_MIN && is_long(failing.first_at, failing.last_at)
        };
        self.failing.iter().flatten().any(is_failing)
            || self.finalized.is_some_and(|stand| {
                is_long(stand.first_at, stand.last_at)
                    && front.is_some_and(|front| is_long(stand.first_at, front))
            })
    }
}

impl Liveness {
    /// Of a node that has not been asked yet.
    pub(super) fn new(patience: Duration, front: Front) -> Self {
        Self {
            patience,
            front,
            known: Mutex::default(),
        }
    }

    /// It answered a question of this kind.
    pub(super) fn answered(&self, label: &str, request: RpcRequest) {
        self.change(label, |known| {
            if let Some(place) = place(request) {
                known.failing[place] = None;
            }
        });
    }

    /// It failed to, asked with these parameters.
    pub(super) fn failed(&self, label: &str, request: RpcRequest, params: Value, now: Instant) {
        self.change(label, |known| {
            let Some(place) = place(request) else { return };
            let before = known.failing[place].take();
            known.failing[place] = Some(Failing {
                first_at: before.as_ref().map_or(now, |before| before.first_at),
                last_at: now,
                count: before.map_or(0, |before| before.count).saturating_add(1),
                params,
            });
        });
    }

    /// What it failed at last of each kind, without an answer since.
    pub(super) fn unanswered(&self) -> Vec<(RpcRequest, Value)> {
        let known = self.known();
        let failing = EVIDENCE.iter().zip(&known.failing);
        failing
            .filter_map(|(request, failing)| Some((*request, failing.as_ref()?.params.clone())))
            .collect()
    }

    /// It says that this slot is final.
    pub(super) fn advanced(&self, label: &str, slot: u64, now: Instant) {
        self.change(label, |known| {
            // One that jumped far ahead for a moment, and back, advances from there.
            let before = known.finalized.filter(|stand| stand.slot == slot);
            if before.is_none() {
                *self.front.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            }
            known.finalized = Some(Stand {
                slot,
                first_at: before.map_or(now, |stand| stand.first_at),
                last_at: now,
            });
        });
    }

    /// Whether it has been of no use for too long.
    pub(super) fn is_left_out(&self) -> bool {
        self.known().is_left_out(self.patience, &self.front)
    }

    /// Whether to ask it this kind of question: one that is left out only now and then, to see whether it is of use again.
    pub(super) fn is_asked(&self, request: RpcRequest, now: Instant, pause: Duration) -> bool {
        let mut known = self.known();
        let Some(place) = place(request) else {
            return true;
        };
        if !known.is_left_out(self.patience, &self.front) {
            return true;
        }
        let is_due = known.probed_at[place].is_none_or(|at| at + pause <= now);
        if is_due {
            known.probed_at[place] = Some(now);
        }
        is_due
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, label: &str, change: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        change(&mut known);
        let is_left_out = known.is_left_out(self.patience, &self.front);
        if is_left_out == known.was_left_out {
            return;
        }
        known.was_left_out = is_left_out;
        drop(known);
        metrics::gauge!("quittance_node_left_out", "node" => label.to_owned())
            .set(f64::from(u8::from(is_left_out)));
        if is_left_out {
            tracing::error!(
                node = label,
                "a node is of no use and is left out: payments settle without its word"
            );
        } else {
            tracing::info!(node = label, "a node is of use again");
        }
    }
}

fn place(request: RpcRequest) -> Option<usize> {
    EVIDENCE.iter().position(|kind| *kind == request)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    /// What a node did at which second, and whether it is left out at second 100.
    enum Did {
        Answered(RpcRequest),
        Failed(RpcRequest),
        At(u64),
        /// Another one was further than before.
        Other,
    }

    type Case = (&'static str, Vec<(u64, Did)>, bool);

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn a_node_is_left_out_once_it_was_of_no_use_for_too_long() {
        use Did::{Answered, At, Failed, Other};
        use RpcRequest::{GetBalance, GetSlot, GetTransaction};
        let failing = |seconds: &[u64], request| -> Vec<(u64, Did)> {
            seconds
                .iter()
                .map(|second| (*second, Failed(request)))
                .collect()
        };
        let with = |mut history: Vec<(u64, Did)>, more| {
            history.push(more);
            history.sort_by_key(|(second, _)| *second);
            history
        };
        let long = failing(&[0, 50, 99], GetTransaction);
        let cases: [Case; 12] = [
            ("never asked", Vec::new(), false),
            (
                "fails for long",
                failing(&[0, 50, 99], GetTransaction),
                true,
            ),
            (
                "fails since lately",
                failing(&[50, 60, 70], GetTransaction),
                false,
            ),
            (
                "failed once, long ago",
                failing(&[0], GetTransaction),
                false,
            ),
            (
                "failed twice, far apart",
                failing(&[0, 99], GetTransaction),
                false,
            ),
            (
                "answered between",
                with(long, (60, Answered(GetTransaction))),
                false,
            ),
            (
                "answers something else",
                with(
                    failing(&[0, 50, 99], GetTransaction),
                    (99, Answered(GetSlot)),
                ),
                true,
            ),
            (
                "fails at what is no evidence",
                failing(&[0, 50, 99], GetBalance),
                false,
            ),
            (
                "stands still",
                vec![(0, At(7)), (98, Other), (99, At(7))],
                true,
            ),
            (
                "all stand still",
                vec![(0, At(7)), (1, Other), (99, At(7))],
                false,
            ),
            ("advances", vec![(0, At(7)), (99, At(8))], false),
            (
                "came back from far ahead",
                vec![(0, At(1_000)), (50, At(8))],
                false,
            ),
        ];
        for (what, history, expected) in cases {
            let (front, start) = (Front::default(), Instant::now());
            let liveness = Liveness::new(PATIENCE, Arc::clone(&front));
            let at = |second| start + Duration::from_secs(second);
            for (second, did) in history {
                match did {
                    Answered(request) => liveness.answered("node", request),
                    Failed(request) => liveness.failed("node", request, Value::Null, at(second)),
                    At(slot) => liveness.advanced("node", slot, at(second)),
                    Other => *front.lock().unwrap() = Some(at(second)),
                }
            }
            assert_eq!(liveness.is_left_out(), expected, "{what}");
        }
    }

    #[test]
    fn who_is_left_out_is_asked_now_and_then() {
        let (liveness, start) = (Liveness::new(PATIENCE, Front::default()), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let pause = Duration::from_secs(10);
        let is_asked = |request, second| liveness.is_asked(request, at(second), pause);
        assert!(is_asked(RpcRequest::GetTransaction, 0));
        for second in [0, 1, 99] {
            liveness.failed(
                "node",
                RpcRequest::GetTransaction,
                json!([second]),
                at(second),
            );
        }
        let unanswered = vec![(RpcRequest::GetTransaction, json!([99]))];
        assert_eq!(liveness.unanswered(), unanswered);
        let asked =
            [100, 105, 110, 119, 120].map(|second| is_asked(RpcRequest::GetTransaction, second));
        assert_eq!(asked, [true, false, true, false, true]);
        // Each kind of question has its turn: what it failed at is asked again, whatever else is asked before.
        assert!(is_asked(RpcRequest::GetSignatureStatuses, 129));
        assert!(is_asked(RpcRequest::GetTransaction, 130));
        liveness.answered("node", RpcRequest::GetTransaction);
        assert!(is_asked(RpcRequest::GetTransaction, 131));
        assert_eq!(liveness.unanswered(), Vec::new());
    }
}
