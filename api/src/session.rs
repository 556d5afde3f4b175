//! Console sessions (contract §1.2): `nl_session` resolved to a user, sliding; only hashes stored.

mod known;

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use shared::config::Config;
use shared::ids::UserId;
use sqlx::PgPool;
use time::OffsetDateTime;

use self::known::Known;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

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
    known: Known,
}

impl Sessions {
    /// Sessions in this database. What is known of one is believed for the configured time, so a revocation takes that
    /// long.
    pub fn spawn(pool: PgPool, config: &Config) -> Self {
        Self {
            known: Known::spawn(&pool, config),
            ttl: time::Duration::days(config.api.session_ttl_days.into()),
            pool,
        }
    }

    /// The session of a token, if it is live.
    pub async fn resolve(&self, token: &str) -> Result<Option<Session>, Arc<SessionError>> {
        // What cannot be a token costs no look-up.
        if token.len() != TOKEN_BYTES * 2 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        self.known.find(hash(token)).await
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
        // What is known has the old end, and would be moved with each use.
        self.known.forget(&session.token_hash).await;
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

    /// Which of these sessions are live no more.
    pub async fn ended(&self, hashes: &[TokenHash]) -> Result<Vec<TokenHash>, sqlx::Error> {
        ended(&self.pool, hashes).await
    }
}

async fn ended(
    executor: impl sqlx::PgExecutor<'_>,
    hashes: &[TokenHash],
) -> Result<Vec<TokenHash>, sqlx::Error> {
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
    let ended = sqlx::query_scalar!(
        r#"select open.hash as "hash!" from unnest($1::bytea[]) as open (hash)
               where not exists (select from sessions s where s.token_hash = open.hash and s.expires_at > now())"#,
        &hashes
    )
    .fetch_all(executor)
    .await?;
    Ok(ended
        .into_iter()
        .filter_map(|hash| hash.try_into().ok())
        .collect())
}
