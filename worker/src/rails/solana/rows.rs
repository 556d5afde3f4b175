//! The rows of `relay_transactions`. Every change names the states it may leave, so that a late writer changes nothing.

use std::time::Duration;

use shared::chain::{Noted, RelayFailure, RelayOutcome, note_signatures};
use shared::db::{begin, interval};
use sqlx::PgPool;

/// A transaction as it is stored.
#[derive(Debug, Clone)]
pub struct Relayed {
    /// What names it.
    pub signature: String,
    /// The invoice it pays.
    pub invoice_id: String,
    /// Its bytes.
    pub wire: Vec<u8>,
    /// Past this height it cannot land.
    pub last_valid_height: Option<i64>,
    /// Whether it was seen confirmed.
    pub is_confirmed: bool,
    /// Whether nobody has sent it yet.
    pub is_first: bool,
}

impl Relayed {
    /// Past this height it cannot land, as far as is known.
    pub(super) fn last_valid(&self) -> Option<u64> {
        self.last_valid_height
            .and_then(|last| u64::try_from(last).ok())
    }
}

/// What a job finds.
#[derive(Debug)]
pub enum Claim {
    /// It is this job's to send first.
    Ours(Relayed),
    /// Somebody else sends it just now, or the sweep goes on sending it.
    Held,
    /// It has an outcome.
    Decided(RelayOutcome),
    /// There is no such transaction.
    Gone,
}

/// Takes a transaction that nobody has sent, or says what became of it.
pub(super) async fn claim(
    pool: &PgPool,
    signature: &str,
    hold: Duration,
) -> Result<Claim, sqlx::Error> {
    let ours = sqlx::query_as!(
        Relayed,
        r#"update relay_transactions
           set sends = 1, next_at = clock_timestamp() + $2, updated_at = clock_timestamp()
           where signature = $1 and state = 'sending' and sends = 0
           returning signature, invoice_id, wire, last_valid_height, false as "is_confirmed!", true as "is_first!""#,
        signature,
        interval(hold)
    )
    .fetch_optional(pool)
    .await?;
    if let Some(ours) = ours {
        return Ok(Claim::Ours(ours));
    }
    let row = sqlx::query!(
        "select state, accepted, failure from relay_transactions where signature = $1",
        signature
    )
    .fetch_optional(pool)
    .await?;
    Ok(match row {
        None => Claim::Gone,
        Some(row) => match row.state.as_str() {
            "sending" if !row.accepted => Claim::Held,
            "failed" | "expired" => {
                let failure = RelayFailure::named(row.failure.as_deref().unwrap_or_default());
                Claim::Decided(RelayOutcome::Refused(failure))
            }
            _ => Claim::Decided(RelayOutcome::Accepted),
        },
    })
}

/// Takes transactions that are due; while new ones are held back, only those that were sent before.
pub(super) async fn take_due(
    pool: &PgPool,
    limit: i64,
    hold: Duration,
) -> Result<Vec<Relayed>, sqlx::Error> {
    sqlx::query_as!(
        Relayed,
        r#"with due as (
               select signature, sends from relay_transactions
               where state in ('sending', 'confirmed') and next_at <= clock_timestamp()
                 and (sends > 0 or not exists (select from paused_queues where queue = 'relay'))
               order by next_at limit $1 for update skip locked
           )
           update relay_transactions r
           set sends = greatest(r.sends, 1), next_at = clock_timestamp() + $2
           from due where r.signature = due.signature
           returning r.signature, r.invoice_id, r.wire, r.last_valid_height,
                     r.state = 'confirmed' as "is_confirmed!", due.sends = 0 as "is_first!""#,
        limit,
        interval(hold)
    )
    .fetch_all(pool)
    .await
}

/// Writes down until when it can land; a later word is at most an earlier height.
pub(super) async fn set_last_valid(
    pool: &PgPool,
    signature: &str,
    height: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update relay_transactions set last_valid_height = $2
         where signature = $1 and (last_valid_height is null or last_valid_height > $2)",
        signature,
        height
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// It was sent, and is to be looked at again after `pause`. `accepted` when a node took it.
pub(super) async fn sent(
    pool: &PgPool,
    relayed: &Relayed,
    accepted: bool,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    // Taking it for the first time counted that time.
    let more = i32::from(!relayed.is_first);
    sqlx::query!(
        "update relay_transactions
         set state = 'sending', accepted = accepted or $3, sends = sends + $4, absences = 0,
             next_at = clock_timestamp() + $5, updated_at = clock_timestamp()
         where signature = $1 and state = $2",
        relayed.signature,
        if relayed.is_confirmed {
            "confirmed"
        } else {
            "sending"
        },
        accepted,
        more,
        interval(pause)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// It cannot land, or landed and failed: `failed`; or its time is over: `expired`. Why: in our words, and in a word.
pub(super) async fn ended(
    pool: &PgPool,
    signature: &str,
    state: &str,
    reason: &str,
    failure: RelayFailure,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!(
        "update relay_transactions set state = $2, reason = $3, failure = $4, updated_at = clock_timestamp()
         where signature = $1 and state in ('sending', 'confirmed')",
        signature,
        state,
        reason,
        failure.name()
    )
    .execute(pool)
    .await?;
    Ok(ended.rows_affected() > 0)
}

/// It landed in this slot; the watcher is told. Returns whether that is news.
pub(super) async fn landed(
    pool: &PgPool,
    signature: &str,
    slot: u64,
    is_final: bool,
) -> Result<bool, sqlx::Error> {
    let state = if is_final { "finalized" } else { "confirmed" };
    let mut transaction = begin(pool).await?;
    let landed = sqlx::query!(
        "update relay_transactions
         set state = $2, accepted = true, absences = 0, reason = null, updated_at = clock_timestamp()
         where signature = $1 and state in ('sending', 'confirmed') and state <> $2",
        signature,
        state
    )
    .execute(&mut *transaction)
    .await?;
    let is_news = landed.rows_affected() > 0;
    if is_news {
        let signatures = [(signature.to_owned(), Some(slot))];
        note_signatures(&mut *transaction, &signatures, Noted::Relay).await?;
    }
    transaction.commit().await?;
    Ok(is_news)
}

/// Counts a look that found it nowhere; returns how many there were since it was last seen.
pub(super) async fn absent(pool: &PgPool, signature: &str) -> Result<i16, sqlx::Error> {
    sqlx::query_scalar!(
        "update relay_transactions set absences = least(absences + 1, 100) where signature = $1 returning absences",
        signature
    )
    .fetch_one(pool)
    .await
}

/// It is somewhere: the count starts anew.
pub(super) async fn present(pool: &PgPool, signature: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update relay_transactions set absences = 0 where signature = $1 and absences > 0",
        signature
    )
    .execute(pool)
    .await?;
    Ok(())
}
