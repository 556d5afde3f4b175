//! The books of each deposit account against the chain, as a worker compared them last.

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;

use super::LedgerError;

/// The last comparison of every deposit account.
#[derive(Debug, Clone, Serialize)]
pub struct Reconciliation {
    /// None differs. One that was never compared does not differ, and is no proof.
    pub ok: bool,
    /// Each account.
    pub accounts: Vec<AccountBooks>,
}

/// Both sides of one account, in base units; null before it was compared.
#[derive(Debug, Clone, Serialize)]
pub struct AccountBooks {
    /// The account.
    pub account: String,
    /// Its rail.
    pub rail: String,
    /// When the chain was asked. Books that stay behind show by this growing old.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
    /// What the account held, in a final slot.
    pub theirs: Option<i128>,
    /// What it holds by the books of that slot.
    pub ours: Option<i128>,
    /// Both are the same.
    pub ok: Option<bool>,
    /// Seconds since the chain was asked, or since the account became ours.
    #[serde(skip)]
    pub age_seconds: i64,
}

/// Reads the last comparisons.
pub async fn reconciliation(pool: &PgPool) -> Result<Reconciliation, LedgerError> {
    let rows = sqlx::query!(
        r#"select d.account, d.rail, r.at as "at?", r.theirs::text as theirs, r.ours::text as ours, r.ok as "ok?",
                  extract(epoch from now() - coalesce(r.at, d.added_at))::bigint as "age_seconds!"
           from deposit_accounts d left join reconciliations r using (account) order by d.rail, d.account"#
    )
    .fetch_all(pool)
    .await?;
    let accounts = rows.into_iter().map(|row| {
        Ok(AccountBooks {
            account: row.account,
            rail: row.rail,
            at: row.at,
            theirs: row.theirs.as_deref().map(exact_units).transpose()?,
            ours: row.ours.as_deref().map(exact_units).transpose()?,
            ok: row.ok,
            age_seconds: row.age_seconds,
        })
    });
    let accounts = accounts.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Reconciliation {
        ok: accounts.iter().all(|account| account.ok != Some(false)),
        accounts,
    })
}

/// Base units as the database wrote them out, which holds more of them than its integers do.
pub fn exact_units(text: &str) -> Result<i128, sqlx::Error> {
    text.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
