//! Writes down what each deposit account held when its books began. A node may show a newer balance than that of the slot it
//! names, so a balance counts, when enough nodes say it, once it is the same in a slot after everything that the first
//! answer can have seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::chain::{Balance, DepositAccount, GONE_SLOTS, NodeError, reached_by};
use shared::telemetry::log_failure;
use tokio::sync::Notify;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(2);

/// Balances of accounts whose books have not begun, as they were seen first.
pub type Seen = Mutex<BTreeMap<String, Balance>>;

/// Looks until the process stops.
pub async fn sweep(context: Context) {
    let round = async |context: &Context| round(context).await;
    context
        .every("openings", INTERVAL, &Notify::new(), round)
        .await;
}

/// Looks at every account whose books have not begun; one that cannot be asked for keeps no other waiting.
pub async fn round(context: &Context) -> Result<(), sqlx::Error> {
    let waiting =
        sqlx::query_scalar!("select account from deposit_accounts where opening_slot is null")
            .fetch_all(&context.pool)
            .await?;
    let known = context.accounts.borrow().clone();
    for name in waiting {
        let mut named = known.iter();
        let Some(account) = named.find(|account| account.account.to_string() == name) else {
            continue;
        };
        let balance = match balance(context, account).await {
            Ok(Some(balance)) => balance,
            Ok(None) => continue,
            Err(error) => {
                log_failure("a balance cannot be read now", &error);
                continue;
            }
        };
        if let Some(slot) = constant_since(&context.openings, &name, balance) {
            begin_books(context, &name, balance.units, slot).await?;
        }
    }
    Ok(())
}

/// What enough nodes say alike that an account holds, as of a slot that they have reached; `None` while they do not.
async fn balance(
    context: &Context,
    account: &DepositAccount,
) -> Result<Option<Balance>, NodeError> {
    let told = context.nodes.ask_all(|node| node.balance(account)).await?;
    Ok(alike(&told, context.nodes.agreement_now()))
}

/// The balance that so many say, with the slots that so many of them have reached: one that is far ahead begins no books.
fn alike(told: &[Balance], needed: usize) -> Option<Balance> {
    let units = told.first()?.units;
    if told.iter().any(|balance| balance.units != units) {
        return None;
    }
    Some(Balance {
        slot: reached_by(needed, told.iter().map(|balance| balance.slot))?,
        newest_slot: reached_by(needed, told.iter().map(|balance| balance.newest_slot))?,
        units,
    })
}

/// The slot in which an account held for sure what it holds now; `None` until there is one.
fn constant_since(seen: &Seen, account: &str, now: Balance) -> Option<u64> {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match seen.get(account) {
        // One that was further than the chain is now was not told the truth.
        Some(first) if first.units == now.units && first.newest_slot <= now.newest_slot => {
            (now.slot >= first.newest_slot).then_some(now.slot)
        }
        _ => {
            seen.insert(account.to_owned(), now);
            None
        }
    }
}

async fn begin_books(
    context: &Context,
    account: &str,
    units: u64,
    slot: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deposit_accounts set opening_units = $2::text::numeric, opening_slot = $3
         where account = $1 and opening_slot is null",
        account,
        units.to_string(),
        i64::try_from(slot).unwrap_or(i64::MAX)
    )
    .execute(&context.pool)
    .await?;
    tracing::info!(account, units, slot, "the books of an account begin");
    Ok(())
}

/// Books that begin ahead of what enough nodes have reached began with a lie: they begin anew.
pub async fn heal(context: &Context, account: &str, finalized: u64) -> Result<(), sqlx::Error> {
    let latest = finalized.saturating_add(GONE_SLOTS);
    let healed = sqlx::query!(
        "update deposit_accounts set opening_units = null, opening_slot = null where account = $1 and opening_slot > $2",
        account,
        i64::try_from(latest).unwrap_or(i64::MAX)
    )
    .execute(&context.pool)
    .await?;
    if healed.rows_affected() > 0 {
        let mut seen = context
            .openings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        seen.remove(account);
        tracing::error!(
            account,
            chain = finalized,
            "the books of an account began ahead of the chain; they begin anew"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_begin_with_what_an_account_holds_for_sure() {
        let balance = |slot, newest_slot, units| Balance {
            slot,
            newest_slot,
            units,
        };
        let cases = [
            ("one look", vec![balance(10, 42, 7)], None),
            (
                "too soon",
                vec![balance(10, 42, 7), balance(41, 73, 7)],
                None,
            ),
            (
                "the same later",
                vec![balance(10, 42, 7), balance(42, 74, 7)],
                Some(42),
            ),
            (
                "changed between",
                vec![balance(10, 42, 7), balance(42, 74, 8)],
                None,
            ),
            (
                "far ahead at first",
                vec![
                    balance(1_010, 1_042, 7),
                    balance(10, 42, 7),
                    balance(42, 74, 7),
                ],
                Some(42),
            ),
            (
                "changed, then the same",
                vec![balance(10, 42, 7), balance(42, 74, 8), balance(74, 99, 8)],
                Some(74),
            ),
        ];
        for (what, looks, expected) in cases {
            let seen = Seen::default();
            let mut found = None;
            for look in looks {
                found = constant_since(&seen, "account", look);
            }
            assert_eq!(found, expected, "{what}");
        }
    }
}
