//! Console sessions (contract §1.2): `nl_session` resolved to a user, cached briefly, sliding; only hashes stored.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use shared::config::ApiConfig;
use shared::ids::UserId;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Sessions looked up in the database at the same time.
const LOOK_UPS_MAX: usize = 3;

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
    look_ups: Semaphore,
}

impl Sessions {
    /// Sessions in this database. The cache forgets within the configured time, so a revocation takes that long.
    pub fn new(pool: PgPool, config: &ApiConfig) -> Self {
        let cache = Cache::builder()
            .max_capacity(config.session_cache_entries_max)
            .time_to_live(Duration::from_millis(config.session_cache_ms))
            .build();
        Self {
            pool,
            ttl: time::Duration::days(config.session_ttl_days.into()),
            cache,
            look_ups: Semaphore::new(LOOK_UPS_MAX),
        }
    }

    /// The session of a token, if it is live. Parallel look-ups of one token ask the database once.
    pub async fn resolve(&self, token: &str) -> Result<Option<Session>, Arc<sqlx::Error>> {
        // What cannot be a token costs no look-up.
        if token.len() != TOKEN_BYTES * 2 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let token_hash = hash(token);
        self.cache
            .try_get_with(token_hash, self.load(token_hash))
            .await
    }

    async fn load(&self, token_hash: TokenHash) -> Result<Option<Session>, sqlx::Error> {
        // Anybody can invent tokens: their look-ups leave connections for those who are signed in.
        let _turn = self.look_ups.acquire().await;
        let row = sqlx::query!(
            "select user_id, csrf_hash, expires_at from sessions where token_hash = $1 and expires_at > now()",
            token_hash.as_slice()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.and_then(|row| {
            let csrf_hash = row.csrf_hash.try_into().ok()?;
            Some(Session {
                user_id: UserId(row.user_id),
                token_hash,
                csrf_hash,
                expires_at: row.expires_at,
            })
        }))
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
