//! What waits for its transaction: users by turns, each user's requests in their order. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// So many batches of one user in a row, and he is alone.
const ALONE: u32 = 64;

/// Waiting requests. While others pay, too, whoever has many waiting gets a bounded part of each batch, so that nobody
/// waits for all of them; what a batch has room for beyond that stays empty, for a shorter batch is over sooner. Whoever
/// is alone gets all of it.
#[derive(Debug)]
pub struct FairQueue<U, R> {
    by_user: HashMap<U, VecDeque<R>>,
    /// Users with waiting requests, each once: whose turn it is next.
    turns: VecDeque<U>,
    len: usize,
    /// The user of the latest batches, if they had only one, and how many they are.
    latest: Option<U>,
    in_a_row: u32,
}

impl<U: Copy + Eq + Hash, R> FairQueue<U, R> {
    /// Nothing waits.
    pub fn new() -> Self {
        Self {
            by_user: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
            latest: None,
            in_a_row: 0,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a request behind those of the same user.
    pub fn push(&mut self, user: U, request: R) {
        let waiting = self.by_user.entry(user).or_default();
        if waiting.is_empty() {
            self.turns.push_back(user);
        }
        waiting.push_back(request);
        self.len += 1;
    }

    /// Takes up to `max` requests, of no user more than `per_user_max` unless he is alone, beginning with the user who
    /// has waited longest. A user with more waiting comes behind all others next time.
    pub fn take(&mut self, max: usize, per_user_max: usize, batch: &mut Vec<R>) {
        let per_user_max = if self.is_one_alone() {
            max
        } else {
            per_user_max
        };
        for _ in 0..self.turns.len() {
            let room = max.saturating_sub(batch.len());
            if room == 0 {
                return;
            }
            let Some(user) = self.turns.pop_front() else {
                return;
            };
            let Some(waiting) = self.by_user.get_mut(&user) else {
                continue;
            };
            let count = waiting.len().min(per_user_max).min(room);
            batch.extend(waiting.drain(..count));
            self.len -= count;
            if waiting.is_empty() {
                self.by_user.remove(&user);
            } else {
                self.turns.push_back(user);
            }
        }
    }

    /// Whether only one user has been paying for a while; counts this batch.
    fn is_one_alone(&mut self) -> bool {
        let only = self
            .turns
            .front()
            .copied()
            .filter(|_| self.turns.len() == 1);
        self.in_a_row = if only.is_some() && only == self.latest {
            self.in_a_row.saturating_add(1)
        } else {
            0
        };
        self.latest = only;
        self.in_a_row >= ALONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_who_is_alone_gets_everything_until_somebody_comes() {
        let mut queue = FairQueue::new();
        let take = |queue: &mut FairQueue<u8, u8>| {
            let mut batch = Vec::new();
            queue.take(256, 4, &mut batch);
            batch.len()
        };
        (0..2_000).for_each(|_| queue.push(0, 0));
        for _ in 0..ALONE {
            assert_eq!(take(&mut queue), 4);
        }
        assert_eq!(take(&mut queue), 256);
        queue.push(1, 1);
        assert_eq!(take(&mut queue), 5);
        assert_eq!(take(&mut queue), 4);
    }

    #[test]
    fn one_who_floods_leaves_room_for_the_others() {
        let mut queue = FairQueue::new();
        for number in 0..1_000 {
            queue.push(0, number);
        }
        queue.push(1, 5_000);
        let mut batch = Vec::new();
        queue.take(256, 64, &mut batch);
        assert_eq!(batch.len(), 65);
        assert_eq!(batch.last(), Some(&5_000));
        assert_eq!(queue.len, 936);
    }

    proptest! {
        /// Nothing is lost, doubled or overtaken by a later request of the same user; bounds hold; and whoever has waited
        /// longest is served first.
        #[test]
        fn everybody_is_served_in_order_and_by_turns(
            arrivals in proptest::collection::vec((0_u8..6, 0_usize..3), 1..200),
            max in 1_usize..20,
            per_user_max in 1_usize..8,
        ) {
            let mut queue = FairQueue::new();
            let mut served: Vec<(u8, usize)> = Vec::new();
            let mut place = 0;
            let mut serve = |queue: &mut FairQueue<u8, (u8, usize)>| {
                let waiting: Vec<u8> = queue.turns.iter().copied().collect();
                let mut batch = Vec::new();
                queue.take(max, per_user_max, &mut batch);
                prop_assert!(batch.len() <= max);
                for user in (0..6).filter(|_| queue.in_a_row < ALONE) {
                    let count = batch.iter().filter(|(of, _)| *of == user).count();
                    prop_assert!(count <= per_user_max);
                }
                let mut users: Vec<u8> = batch.iter().map(|(user, _)| *user).collect();
                users.dedup();
                prop_assert_eq!(&users[..], &waiting[..users.len()]);
                served.append(&mut batch);
                Ok::<(), TestCaseError>(())
            };
            for (user, batches) in &arrivals {
                queue.push(*user, (*user, place));
                place += 1;
                for _ in 0..*batches {
                    serve(&mut queue)?;
                }
            }
            while !queue.is_empty() {
                serve(&mut queue)?;
            }
            prop_assert_eq!(served.len(), arrivals.len());
            for user in 0..6 {
                let order: Vec<usize> = served.iter().filter(|(of, _)| *of == user).map(|(_, at)| *at).collect();
                prop_assert!(order.is_sorted());
            }
            prop_assert!(queue.by_user.is_empty() && queue.turns.is_empty());
        }
    }
}
