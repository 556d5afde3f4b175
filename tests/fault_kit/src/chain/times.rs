//! When blocks were produced: by the clock on the wall, or by one that the test sets.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

/// How fast slots came before the first one.
const SLOTS_PER_SECOND_BEFORE: u64 = 2;

/// The times of all slots, unix seconds.
#[derive(Debug)]
pub struct BlockTimes {
    /// The test's clock; none means the wall's.
    clock: Option<i64>,
    produced: BTreeMap<u64, i64>,
    told: HashMap<u64, Option<i64>>,
}

impl BlockTimes {
    /// The chain begins now, at this slot.
    pub fn new(first_slot: u64) -> Self {
        Self {
            clock: None,
            produced: BTreeMap::from([(first_slot, wall_clock())]),
            told: HashMap::new(),
        }
    }

    /// Sets the clock, or lets it follow the wall's again.
    pub fn set_clock(&mut self, seconds: Option<i64>) {
        self.clock = seconds;
    }

    /// What time it is.
    pub fn now(&self) -> i64 {
        self.clock.unwrap_or_else(wall_clock)
    }

    /// A slot is produced now.
    pub fn produce(&mut self, slot: u64) {
        let now = self.now();
        self.produced.insert(slot, now);
    }

    /// What nodes say about one slot.
    pub fn tell(&mut self, slot: u64, seconds: Option<i64>) {
        self.told.insert(slot, seconds);
    }

    /// When a slot was produced, as nodes tell it; one that was jumped over has the time of the one before it.
    pub fn of(&self, slot: u64) -> Option<i64> {
        if let Some(told) = self.told.get(&slot) {
            return *told;
        }
        if let Some((_, seconds)) = self.produced.range(..=slot).next_back() {
            return Some(*seconds);
        }
        let (first, seconds) = self.produced.first_key_value()?;
        let before = i64::try_from((first - slot) / SLOTS_PER_SECOND_BEFORE).ok()?;
        seconds.checked_sub(before)
    }
}

fn wall_clock() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}
