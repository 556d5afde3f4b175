//! How long blocks take, measured, so that a blockhash's life in blocks can be told in seconds. Block times differ
//! between networks and shrink over the years: none is assumed once two samples exist.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Samples older than this, seen from the newest, say nothing about now.
const WINDOW: Duration = Duration::from_mins(2);
/// Samples closer to each other than this are one.
const SPACING: Duration = Duration::from_millis(400);
/// Assumed until something was measured: faster than networks are, so that nobody signs what has expired.
const CAUTIOUS: Duration = Duration::from_millis(200);
/// A chain that stands still promises nothing.
const SLOWEST: Duration = Duration::from_secs(1);
/// Blocks for which a blockhash lives at most.
const BLOCKHASH_LIFE: u64 = 150;
/// Blocks kept for signing's last moment and the way to a leader.
const MARGIN: u64 = 15;
/// A height that falls by more than this is that of another chain, not of a node that lags.
const LAG_MAX: u64 = BLOCKHASH_LIFE;

/// Block heights seen lately. Shared by reference.
#[derive(Debug, Default)]
pub struct SlotClock(Mutex<VecDeque<(Instant, u64)>>);

impl SlotClock {
    /// Notes the height seen at a moment. A node that lags behind what was seen before says nothing.
    pub fn observe(&self, at: Instant, height: u64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((newest_at, newest)) = samples.back().copied() {
            if height.saturating_add(LAG_MAX) < newest {
                samples.clear();
            } else if height < newest || at < newest_at + SPACING {
                return;
            }
        }
        samples.push_back((at, height));
        while samples
            .front()
            .is_some_and(|(oldest_at, _)| *oldest_at + WINDOW < at)
        {
            samples.pop_front();
        }
    }

    /// The time a block takes. Short rather than long: the block that a sample fell into is counted whole.
    #[must_use]
    pub fn block_time(&self) -> Duration {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((first_at, first)), Some((last_at, last))) = (samples.front(), samples.back())
        else {
            return CAUTIOUS;
        };
        if samples.len() < 2 {
            return CAUTIOUS;
        }
        let blocks = last.saturating_sub(*first).saturating_add(1);
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        (last_at.saturating_duration_since(*first_at) / blocks).min(SLOWEST)
    }

    /// How long a blockhash may be trusted from now on, if the chain is at `height`.
    #[must_use]
    pub fn trust(&self, last_valid_height: u64, height: u64) -> Duration {
        let blocks = last_valid_height
            .saturating_sub(height)
            .min(BLOCKHASH_LIFE)
            .saturating_sub(MARGIN);
        self.block_time() * u32::try_from(blocks).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock(samples: &[(u64, u64)]) -> SlotClock {
        let (clock, start) = (SlotClock::default(), Instant::now());
        for (ms, height) in samples {
            clock.observe(start + Duration::from_millis(*ms), *height);
        }
        clock
    }

    /// What is seen when, and the milliseconds that a block takes by that.
    struct Case(&'static str, &'static [(u64, u64)], u64);

    #[test]
    fn block_times_are_measured() {
        let cases = [
            Case("nothing seen", &[], 200),
            Case("one sample", &[(0, 1000)], 200),
            Case("400 ms", &[(0, 1000), (40_000, 1099)], 400),
            Case("200 ms", &[(0, 1000), (20_000, 1099)], 200),
            Case(
                "quick samples",
                &[(0, 7), (500, 8), (1000, 9), (1500, 11)],
                300,
            ),
            Case("too close", &[(0, 1000), (100, 1050)], 200),
            Case("standing still", &[(0, 1000), (60_000, 1000)], 1000),
            Case(
                "a node that lags",
                &[(0, 1000), (10_000, 900), (40_000, 1099)],
                400,
            ),
            Case(
                "another chain",
                &[(0, 90_000), (10_000, 5), (50_000, 104)],
                400,
            ),
            Case("after a pause", &[(0, 1000), (600_000, 3000)], 200),
        ];
        for Case(what, samples, ms) in cases {
            let time = clock(samples).block_time();
            assert_eq!(time, Duration::from_millis(ms), "{what}");
        }
    }

    #[test]
    fn a_blockhash_is_trusted_for_its_blocks_less_a_margin() {
        let clock = clock(&[(0, 1000), (40_000, 1099)]);
        let cases = [
            (1150, 1000, 135),
            (1150, 1100, 35),
            (1150, 1135, 0),
            (1150, 1150, 0),
            (1150, 9000, 0),
            // A node that lags: no blockhash lives for longer than its blocks.
            (1150, 10, 135),
            (u64::MAX, 0, 135),
        ];
        for (last_valid, height, blocks) in cases {
            let expected = Duration::from_millis(400) * blocks;
            assert_eq!(clock.trust(last_valid, height), expected, "{height}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_promise_too_much(
            samples in proptest::collection::vec((0..1_000_000_u64, any::<u64>()), 0..20),
            last_valid: u64, height: u64
        ) {
            let clock = clock(&samples);
            prop_assert!(clock.trust(last_valid, height) <= SLOWEST * 135);
        }
    }
}
