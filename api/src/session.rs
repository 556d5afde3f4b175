//! Console sessions (contract §1.2): `nl_session` resolved to a user, cached briefly, sliding; only hashes stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use shared::config::ApiConfig;
use shared::ids::UserId;
use shared::telemetry::supervised;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Sessions looked up in one statement at most, and waiting for theirs at most.
const LOOK_UPS: usize = 1000;
const LOOK_UPS_WAITING_MAX: usize = 4096;

/// SHA-256 of a token: what the database and the cache know of it.
pub type TokenHash = [u8; 32];

/// The hash of a token.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user_id: UserId,
    /// Its own hash.
    pub token_hash: TokenHash,
    /// Hash of the CSRF token issued with it.
    pub csrf_hash: TokenHash,
    /// Its end, unless used.
    pub expires_at: OffsetDateTime,
}

/// Why it is unknown whether a session is live.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionError {
    /// The database failed.
    #[error("a session cannot be looked up")]
    Database(#[from] Arc<sqlx::Error>),
    /// The process is ending.
    #[error("the process is ending")]
    Ending,
}

impl SessionError {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => shared::db::is_transient(error),
            Self::Ending => true,
        }
    }
}

struct LookUp {
    token_hash: TokenHash,
    answer: oneshot::Sender<Result<Option<Session>, SessionError>>,
}

/// A new session's secrets; this is the only time they are known.
pub struct Issued {
    /// For the cookie `nl_session`.
    pub session: SecretString,
    /// For the cookie `nl_csrf` and the header `X-CSRF-Token`.
    pub csrf: SecretString,
    /// Its end, unless used.
    pub expires_at: OffsetDateTime,
}

/// Resolves and issues sessions.
pub struct Sessions {
    pool: PgPool,
    ttl: time::Duration,
    cache: Cache<TokenHash, Option<Session>>,
    look_ups: mpsc::Sender<LookUp>,
}

impl Sessions {
    /// Sessions in this database. The cache forgets within the configured time, so a revocation takes that long.
    pub fn spawn(pool: PgPool, config: &ApiConfig) -> Self {
        let (look_ups, waiting) = mpsc::channel(LOOK_UPS_WAITING_MAX);
        supervised("sessions", answer_look_ups(pool.clone(), waiting));
        let cache = Cache::builder()
            .max_capacity(config.session_cache_entries_max)
            .time_to_live(Duration::from_millis(config.session_cache_ms))
            .build();
        Self {
            pool,
            ttl: time::Duration::days(config.session_ttl_days.into()),
            cache,
            look_ups,
        }
    }

    /// The session of a token, if it is live. Parallel look-ups of one token ask the database once.
    pub async fn resolve(&self, token: &str) -> Result<Option<Session>, Arc<SessionError>> {
        // What cannot be a token costs no look-up.
        if token.len() != TOKEN_BYTES * 2 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let token_hash = hash(token);
        self.cache
            .try_get_with(token_hash, self.load(token_hash))
            .await
    }

    async fn load(&self, token_hash: TokenHash) -> Result<Option<Session>, SessionError> {
        let (answer, answered) = oneshot::channel();
        let look_up = LookUp { token_hash, answer };
        self.look_ups
            .send(look_up)
            .await
            .map_err(|_| SessionError::Ending)?;
        answered.await.map_err(|_| SessionError::Ending)?
    }

    /// Once less than half of its time is left, a used session starts over; returns its new end then.
    pub async fn slide(&self, session: &Session) -> Result<Option<OffsetDateTime>, sqlx::Error> {
        if session.expires_at - OffsetDateTime::now_utc() >= self.ttl / 2 {
            return Ok(None);
        }
        let expires_at = OffsetDateTime::now_utc() + self.ttl;
        let moved = sqlx::query!(
            "update sessions set expires_at = $2 where token_hash = $1 and expires_at > now()",
            session.token_hash.as_slice(),
            expires_at
        )
        .execute(&self.pool)
        .await?;
        Ok((moved.rows_affected() == 1).then_some(expires_at))
    }

    /// A new session of a user, in the caller's transaction.
    pub async fn issue(
        &self,
        connection: &mut sqlx::PgConnection,
        user: UserId,
    ) -> Result<Issued, sqlx::Error> {
        let token = || SecretString::from(hex::encode(rand::random::<[u8; TOKEN_BYTES]>()));
        let issued = Issued {
            session: token(),
            csrf: token(),
            expires_at: OffsetDateTime::now_utc() + self.ttl,
        };
        let (token_hash, csrf_hash) = (
            hash(issued.session.expose_secret()),
            hash(issued.csrf.expose_secret()),
        );
        sqlx::query!(
            "insert into sessions (token_hash, csrf_hash, user_id, expires_at) values ($1, $2, $3, $4)",
            token_hash.as_slice(),
            csrf_hash.as_slice(),
            user.0,
            issued.expires_at
        )
        .execute(connection)
        .await?;
        Ok(issued)
    }

    /// Ends every session of a user; returns how many.
    pub async fn revoke(
        &self,
        connection: &mut sqlx::PgConnection,
        user: UserId,
    ) -> Result<u64, sqlx::Error> {
        let gone = sqlx::query!("delete from sessions where user_id = $1", user.0)
            .execute(connection)
            .await?;
        Ok(gone.rows_affected())
    }

    /// Which of these sessions are still live.
    pub async fn live(&self, hashes: &[TokenHash]) -> Result<Vec<TokenHash>, sqlx::Error> {
        let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
        let live = sqlx::query_scalar!(
            "select token_hash from sessions where token_hash = any($1) and expires_at > now()",
            &hashes
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(live
            .into_iter()
            .filter_map(|hash| hash.try_into().ok())
            .collect())
    }
}

/// Answers look-ups: those that come while a statement is under way go together in the next one. Anybody can invent
/// tokens, so look-ups take one connection, however many there are.
async fn answer_look_ups(pool: PgPool, mut waiting: mpsc::Receiver<LookUp>) {
    let mut batch = Vec::with_capacity(LOOK_UPS);
    while waiting.recv_many(&mut batch, LOOK_UPS).await > 0 {
        let hashes: Vec<TokenHash> = batch.iter().map(|look_up| look_up.token_hash).collect();
        let found = look_up(&pool, &hashes).await.map_err(Arc::new);
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
) -> Result<HashMap<TokenHash, Session>, sqlx::Error> {
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
    let rows = sqlx::query!(
        "select token_hash, user_id, csrf_hash, expires_at from sessions
         where token_hash = any($1) and expires_at > now()",
        &hashes
    )
    .fetch_all(pool)
    .await?;
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
