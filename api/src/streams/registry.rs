//! Which streams are open: their limits, and their end when a session is revoked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use shared::config::StreamConfig;
use shared::ids::UserId;
use tokio::sync::{Semaphore, watch};

use crate::app::App;
use crate::http::flat::FlatError;
use crate::hub::Hub;
use crate::session::{Session, TokenHash};

/// How often open streams' sessions are looked up again; a revocation is felt within a second.
const SESSION_CHECK: Duration = Duration::from_millis(700);
/// Streams that read from Postgres what they missed at the same time.
const CATCHING_UP_MAX: usize = 4;
/// Sessions looked up in one statement at most.
const SESSION_CHECK_BATCH: usize = 2000;

#[derive(Default)]
struct Open {
    streams: usize,
    by_user: HashMap<UserId, usize>,
    by_session: HashMap<TokenHash, (usize, watch::Sender<bool>)>,
}

/// The streams of this process. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    pub(super) hub: Hub,
    pub(super) config: StreamConfig,
    /// Streams that catch up at the same time: when Redis returns all of them want to, and requests need the pool too.
    pub(super) catching_up: Arc<Semaphore>,
    open: Arc<Mutex<Open>>,
}

/// A place among the open streams; dropping it frees the place.
pub struct Place {
    streams: Streams,
    user_id: UserId,
    token_hash: TokenHash,
    /// Turns true when the session is revoked.
    pub(super) revoked: watch::Receiver<bool>,
}

impl Streams {
    /// No streams yet.
    pub fn new(hub: Hub, config: StreamConfig) -> Self {
        Self {
            hub,
            config,
            catching_up: Arc::new(Semaphore::new(CATCHING_UP_MAX)),
            open: Arc::default(),
        }
    }

    /// Takes a place: 503 when the process has no more, 429 when the user has none.
    pub(super) fn enter(&self, session: &Session) -> Result<Place, FlatError> {
        let mut open = self.lock();
        if open.streams >= self.config.streams_max {
            return Err(FlatError::busy("too_many_streams"));
        }
        let of_user = open.by_user.entry(session.user_id).or_default();
        if *of_user >= self.config.streams_per_user_max {
            return Err(
                FlatError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams").retry_after(1),
            );
        }
        *of_user += 1;
        open.streams += 1;
        let (count, switch) = open
            .by_session
            .entry(session.token_hash)
            .or_insert_with(|| (0, watch::channel(false).0));
        *count += 1;
        let revoked = switch.subscribe();
        metrics::gauge!("quittance_streams_open").increment(1.0);
        Ok(Place {
            streams: self.clone(),
            user_id: session.user_id,
            token_hash: session.token_hash,
            revoked,
        })
    }

    /// Ends the streams of sessions that are no longer live, again and again until the process stops.
    pub async fn end_revoked(&self, app: App) {
        let patience = app.config.database.patience();
        let mut ticks = tokio::time::interval(SESSION_CHECK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = app.shutdown.wait() => return,
            }
            let hashes: Vec<TokenHash> = self.lock().by_session.keys().copied().collect();
            for some in hashes.chunks(SESSION_CHECK_BATCH) {
                match tokio::time::timeout(patience, app.sessions.ended(some)).await {
                    Ok(Ok(ended)) => self.end(&ended),
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "cannot look up the sessions of open streams");
                    }
                    Err(_) => tracing::warn!("looking up sessions took too long"),
                }
            }
        }
    }

    fn end(&self, revoked: &[TokenHash]) {
        let open = self.lock();
        for (_, switch) in revoked.iter().filter_map(|hash| open.by_session.get(hash)) {
            switch.send_replace(true);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        open.streams = open.streams.saturating_sub(1);
        if let Some(count) = open.by_user.get_mut(&self.user_id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_user.remove(&self.user_id);
            }
        }
        if let Some((count, _)) = open.by_session.get_mut(&self.token_hash) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_session.remove(&self.token_hash);
            }
        }
        metrics::gauge!("quittance_streams_open").decrement(1.0);
    }
}
