//! One at a time per user, waiting outside the database: calls that queue for the same row there would each hold a
//! connection that others need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::UserId;
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Whose turn it is. Cheap to clone.
#[derive(Clone, Default)]
pub struct Turns {
    locks: Arc<Mutex<HashMap<UserId, Lock>>>,
}

/// A user's turn; dropping it passes it on.
pub struct Turn {
    turns: Turns,
    user_id: UserId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for this user's turn in this process.
    pub async fn take(&self, user_id: UserId) -> Turn {
        let lock = Arc::clone(self.locks().entry(user_id).or_default());
        // Made before waiting: a caller who leaves while waiting cleans up, too.
        let mut turn = Turn {
            turns: self.clone(),
            user_id,
            guard: None,
        };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    fn locks(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, Lock>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.turns.locks();
        if locks
            .get(&self.user_id)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_one_at_a_time_and_leave_nothing_behind() {
        let (turns, user, other) = (Turns::default(), UserId::generate(), UserId::generate());
        let first = turns.take(user).await;
        let _other = turns.take(other).await;
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take(user).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        assert!(!turns.locks().contains_key(&user));
        assert!(turns.locks().contains_key(&other));
    }
}
