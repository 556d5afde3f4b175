//! Sessions that were found to be live a moment ago. Those in use are looked at again together, several times within
//! the time that they may be believed, so that hardly any request waits for the database; a revocation is felt in time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::future::Cache;
use shared::config::Config;
use shared::db::gone_silent;
use shared::ids::UserId;
use shared::telemetry::supervised;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Session, SessionError, TokenHash, ended};

/// Sessions looked up in one statement at most, and waiting for theirs at most.
const LOOK_UPS: usize = 1000;
const LOOK_UPS_WAITING_MAX: usize = 4096;
/// A session that was not used for so long is forgotten, and not looked at again.
const USED: Duration = Duration::from_secs(10);
/// How often sessions in use are looked at again within the time that they may be believed, and how often at most.
const CHECKS: u32 = 2;
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// What is known of a token.
struct Entry {
    session: Option<Session>,
    /// When the database was last asked, milliseconds since the start.
    asked_ms: AtomicU64,
}

struct LookUp {
    token_hash: TokenHash,
    answer: oneshot::Sender<Result<Option<Session>, SessionError>>,
}

/// The sessions known here. Cheap to clone.
#[derive(Clone)]
pub struct Known {
    cache: Cache<TokenHash, Arc<Entry>>,
    look_ups: mpsc::Sender<LookUp>,
    start: Instant,
    believed_ms: u64,
    /// When to give up a server that has gone silent: it would hold up all requests.
    patience: Duration,
}

impl Known {
    /// Nothing is known yet.
    pub fn spawn(pool: &PgPool, config: &Config) -> Self {
        let (look_ups, waiting) = mpsc::channel(LOOK_UPS_WAITING_MAX);
        let known = Self {
            cache: Cache::builder()
                .max_capacity(config.api.session_cache_entries_max)
                .time_to_idle(USED)
                .build(),
            look_ups,
            start: Instant::now(),
            believed_ms: config.api.session_cache_ms,
            patience: config.database.patience(),
        };
        let patience = known.patience;
        supervised("sessions", answer_look_ups(pool.clone(), waiting, patience));
        supervised("session checks", known.clone().check_again(pool.clone()));
        known
    }

    /// The session of a token, if it is live. Parallel look-ups of one token ask the database once.
    pub async fn find(&self, token_hash: TokenHash) -> Result<Option<Session>, Arc<SessionError>> {
        if let Some(entry) = self.cache.get(&token_hash).await {
            let asked_ms = entry.asked_ms.load(Ordering::Relaxed);
            if self.now_ms().saturating_sub(asked_ms) < self.believed_ms {
                return Ok(entry.session.clone());
            }
            self.forget(&token_hash).await;
        }
        let entry = self
            .cache
            .try_get_with(token_hash, self.load(token_hash))
            .await?;
        Ok(entry.session.clone())
    }

    /// Has the next use of a token ask the database.
    pub async fn forget(&self, token_hash: &TokenHash) {
        self.cache.invalidate(token_hash).await;
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn load(&self, token_hash: TokenHash) -> Result<Arc<Entry>, SessionError> {
        let asked_ms = AtomicU64::new(self.now_ms());
        let (answer, answered) = oneshot::channel();
        let look_up = LookUp { token_hash, answer };
        self.look_ups
            .send(look_up)
            .await
            .map_err(|_| SessionError::Ending)?;
        let session = answered.await.map_err(|_| SessionError::Ending)??;
        Ok(Arc::new(Entry { session, asked_ms }))
    }

    /// Looks at the sessions in use, again and again. While the database is away nothing is believed for long.
    async fn check_again(self, pool: PgPool) {
        let interval = Duration::from_millis(self.believed_ms) / (CHECKS + 1);
        let interval = interval.max(CHECK_INTERVAL_MIN);
        loop {
            tokio::time::sleep(interval).await;
            let now_ms = self.now_ms();
            let live = self
                .cache
                .iter()
                .filter(|(_, entry)| entry.session.is_some());
            let live: Vec<(Arc<TokenHash>, Arc<Entry>)> = live.collect();
            for some in live.chunks(LOOK_UPS) {
                let hashes: Vec<TokenHash> = some.iter().map(|(hash, _)| **hash).collect();
                match self.ended(&pool, &hashes).await {
                    Ok(ended) => {
                        for hash in &ended {
                            self.forget(hash).await;
                        }
                        for (_, entry) in some {
                            entry.asked_ms.fetch_max(now_ms, Ordering::Relaxed);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "cannot look at the sessions in use"),
                }
            }
        }
    }

    async fn ended(
        &self,
        pool: &PgPool,
        hashes: &[TokenHash],
    ) -> Result<Vec<TokenHash>, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        match timeout(self.patience, ended(&mut *connection, hashes)).await {
            Ok(ended) => ended,
            Err(_) => Err(gone_silent(connection)),
        }
    }
}

/// Answers look-ups: those that come while a statement is under way go together in the next one. Anybody can invent
/// tokens, so look-ups take one connection, however many there are.
async fn answer_look_ups(pool: PgPool, mut waiting: mpsc::Receiver<LookUp>, patience: Duration) {
    let mut batch = Vec::with_capacity(LOOK_UPS);
    while waiting.recv_many(&mut batch, LOOK_UPS).await > 0 {
        let hashes: Vec<TokenHash> = batch.iter().map(|look_up| look_up.token_hash).collect();
        let found = look_up(&pool, &hashes, patience).await.map_err(Arc::new);
        for LookUp { token_hash, answer } in batch.drain(..) {
            let session = match &found {
                Ok(found) => Ok(found.get(&token_hash).cloned()),
                Err(error) => Err(SessionError::Database(Arc::clone(error))),
            };
            let _ = answer.send(session);
        }
    }
}

/// The live ones of these sessions.
async fn look_up(
    pool: &PgPool,
    hashes: &[TokenHash],
    patience: Duration,
) -> Result<HashMap<TokenHash, Session>, sqlx::Error> {
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
    let mut connection = pool.acquire().await?;
    let rows = sqlx::query!(
        "select token_hash, user_id, csrf_hash, expires_at from sessions
         where token_hash = any($1) and expires_at > now()",
        &hashes
    )
    .fetch_all(&mut *connection);
    let rows = match timeout(patience, rows).await {
        Ok(rows) => rows?,
        Err(_) => return Err(gone_silent(connection)),
    };
    let found = rows.into_iter().filter_map(|row| {
        let token_hash = row.token_hash.try_into().ok()?;
        let session = Session {
            user_id: UserId(row.user_id),
            token_hash,
            csrf_hash: row.csrf_hash.try_into().ok()?,
            expires_at: row.expires_at,
        };
        Some((token_hash, session))
    });
    Ok(found.collect())
}
