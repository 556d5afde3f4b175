//! The chain's clock. Surfpool gives each slot its nominal time and sleeps for longer than that between two, so that its
//! block times fall behind: here a slot comes whenever one is due by the wall clock, and what was missed is made up for.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Sender;
use surfpool_core::surfnet::locker::SurfnetSvmLocker;
use surfpool_types::SimnetCommand;

/// Slots that may be ordered and not made yet: transactions wait in the same queue.
const ORDERED_MAX: u64 = 4;
const PAUSE: Duration = Duration::from_millis(1);

/// Orders slots until the chain is gone.
pub(crate) fn beat(svm: &SurfnetSvmLocker, commands: &Sender<SimnetCommand>, slot_ms: u64) {
    let mut ordered_ms = 0;
    loop {
        let made_ms = svm.with_svm_reader(|svm| svm.updated_at);
        ordered_ms = made_ms.max(ordered_ms);
        match next(now_ms(), made_ms, ordered_ms, slot_ms) {
            Next::Wait(pause) => thread::sleep(pause),
            Next::Order => {
                if commands.send(SimnetCommand::SlotForward(None)).is_err() {
                    return;
                }
                ordered_ms += slot_ms;
            }
        }
    }
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Order,
    Wait(Duration),
}

/// Decides, by the time that slots were made for and ordered for.
fn next(now_ms: u64, made_ms: u64, ordered_ms: u64, slot_ms: u64) -> Next {
    let due_ms = ordered_ms + slot_ms;
    if due_ms > now_ms {
        Next::Wait(Duration::from_millis(due_ms - now_ms))
    } else if due_ms > made_ms + ORDERED_MAX * slot_ms {
        Next::Wait(PAUSE)
    } else {
        Next::Order
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_when_they_are_due_and_a_few_at_a_time() {
        let wait = |ms| Next::Wait(Duration::from_millis(ms));
        let cases = [
            ("just made", 1_000, 1_000, 1_000, wait(50)),
            ("half over", 1_030, 1_000, 1_000, wait(20)),
            ("due", 1_050, 1_000, 1_000, Next::Order),
            ("late", 9_000, 1_000, 1_000, Next::Order),
            ("some are ordered", 9_000, 1_000, 1_150, Next::Order),
            ("enough are ordered", 9_000, 1_000, 1_200, wait(1)),
            ("made meanwhile", 9_000, 1_050, 1_200, Next::Order),
            ("the wall clock was set back", 500, 1_000, 1_000, wait(550)),
        ];
        for (what, now, made, ordered, expected) in cases {
            assert_eq!(next(now, made, ordered, 50), expected, "{what}");
        }
    }
}
