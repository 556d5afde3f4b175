//! A few at a time per user, waiting here: calls that queue for the same row in the database would each hold a
//! connection that others need, and jobs that queue for the same balance would stand before those of others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Whose turn it is. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    at_once: usize,
    places: Arc<Mutex<HashMap<UserId, Arc<Semaphore>>>>,
}

/// A user's turn; dropping it passes it on.
pub struct Turn {
    turns: Turns,
    user_id: UserId,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// So many at a time of each user.
    pub fn of(at_once: usize) -> Self {
        Self {
            at_once,
            places: Arc::default(),
        }
    }

    /// Waits for this user's turn in this process; first come, first served.
    pub async fn take(&self, user_id: UserId) -> Turn {
        let places = Arc::clone(
            self.places()
                .entry(user_id)
                .or_insert_with(|| Arc::new(Semaphore::new(self.at_once))),
        );
        // Made before waiting: a caller who leaves while waiting cleans up, too.
        let mut turn = Turn {
            turns: self.clone(),
            user_id,
            permit: None,
        };
        // Never fails: nobody closes it.
        turn.permit = places.acquire_owned().await.ok();
        turn
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, Arc<Semaphore>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut places = self.turns.places();
        if places
            .get(&self.user_id)
            .is_some_and(|of_user| Arc::strong_count(of_user) == 1)
        {
            places.remove(&self.user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_a_few_at_a_time_and_leave_nothing_behind() {
        let (turns, user, other) = (Turns::of(2), UserId::generate(), UserId::generate());
        let (first, second) = (turns.take(user).await, turns.take(user).await);
        let _other = turns.take(other).await;
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take(user).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        drop(second);
        assert!(!turns.places().contains_key(&user));
        assert!(turns.places().contains_key(&other));
    }
}
