//! The rows of a comparison.

use shared::chain::{DepositAccount, known_deposit_accounts};
use shared::ledger::exact_units;
use sqlx::PgPool;
use time::OffsetDateTime;

use super::ReconcileError;
use super::look::Look;

/// The accounts whose books have begun.
pub async fn followed(pool: &PgPool) -> Result<Vec<DepositAccount>, ReconcileError> {
    let begun = sqlx::query_scalar!(
        "select account from deposit_accounts where opening_units is not null and opening_slot is not null"
    )
    .fetch_all(pool)
    .await?;
    let mut accounts = known_deposit_accounts(pool).await?;
    accounts.retain(|known| begun.contains(&known.account.to_string()));
    Ok(accounts)
}

/// The time by the database's clock, which ages are told by.
pub async fn now(pool: &PgPool) -> Result<OffsetDateTime, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(pool)
        .await
}

/// Asks the books, if they are complete up to the slot of this look: the account's history was read that far, and
/// whatever was heard of until then is decided. What nobody knows the slot of may belong to it.
pub async fn read_books(pool: &PgPool, account: &str, look: &mut Look) -> Result<(), sqlx::Error> {
    if look.is_void || look.is_compared() {
        return Ok(());
    }
    let slots = (
        i64::try_from(look.balance.slot),
        i64::try_from(look.balance.newest_slot),
    );
    let (Ok(slot), Ok(newest)) = slots else {
        look.is_void = true;
        return Ok(());
    };
    let row = sqlx::query!(
        r#"with books as (
               select coalesce(r.mark_slot, d.opening_slot) > $2 as is_void,
                      coalesce(k.read_slot >= $3, false) as is_read
               from deposit_accounts d left join watched_keys k on k.key = d.account
               left join reconciliations r on r.account = d.account
               where d.account = $1
           ), decided as (
               select b.*, b.is_read and not exists (
                   select from chain_signatures s where s.state in ('found', 'confirmed')
                     and (s.slot <= $3 or s.slot is null and s.found_at <= coalesce($4, now()))) as is_complete
               from books b
           )
           select now() as "now!", is_void as "is_void!", is_read as "is_read!",
                  case when is_complete and not is_void
                       then books_near($1, $2, $3, $5::text::numeric)::text end as ours
           from decided"#,
        account,
        slot,
        newest,
        look.read_at,
        look.balance.units.to_string()
    )
    .fetch_one(pool)
    .await?;
    look.is_void = row.is_void;
    if row.is_read {
        look.read_at = look.read_at.or(Some(row.now));
    }
    look.ours = row.ours.as_deref().map(exact_units).transpose()?;
    Ok(())
}

/// Writes a comparison down, unless a newer one is. Once a day, and if both sides are the same, what came before is
/// added up for good.
pub async fn write(
    pool: &PgPool,
    account: &str,
    at: OffsetDateTime,
    look: &Look,
) -> Result<(), sqlx::Error> {
    let slot = i64::try_from(look.balance.slot).unwrap_or(i64::MAX);
    sqlx::query!(
        "insert into reconciliations as r (account, at, slot, theirs, ours)
         values ($1, $2, $3, $4::text::numeric, $5::text::numeric)
         on conflict (account) do update
         set at = excluded.at, slot = excluded.slot, theirs = excluded.theirs, ours = excluded.ours
         where r.at <= excluded.at",
        account,
        at,
        slot,
        look.balance.units.to_string(),
        look.ours.unwrap_or_default().to_string()
    )
    .execute(pool)
    .await?;
    sqlx::query!(
        "update reconciliations r set mark_slot = r.slot, mark_units = books_at(r.account, r.slot), marked_at = now()
         from deposit_accounts d
         where r.account = $1 and d.account = r.account and r.slot = $2 and r.ok
           and coalesce(r.marked_at, d.added_at) < now() - interval '1 day'",
        account,
        slot
    )
    .execute(pool)
    .await?;
    Ok(())
}
