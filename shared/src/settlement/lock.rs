//! An operator freezes a balance, or frees it.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::SettlementError;
use crate::ids::UserId;

/// Sets the lock and returns since when it holds (`None` when free); the outer `None` means no such user.
/// Setting it twice keeps the first time.
pub async fn set_lock(
    connection: &mut PgConnection,
    user: UserId,
    locked: bool,
) -> Result<Option<Option<OffsetDateTime>>, SettlementError> {
    let row = sqlx::query!(
        r#"select found_user as "found_user!", locked_since from set_balance_lock($1, $2)"#,
        user.0,
        locked
    )
    .fetch_one(connection)
    .await?;
    Ok(row.found_user.then_some(row.locked_since))
}
