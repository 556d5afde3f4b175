//! Writes down what each deposit account held when its books began. A node may show a newer balance than that of the slot it
//! names, so a balance counts once it is the same in a slot after everything that the first answer can have seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::chain::{Balance, DepositAccount, NodeError};
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
            Ok(balance) => balance,
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

async fn balance(context: &Context, account: &DepositAccount) -> Result<Balance, NodeError> {
    let mut last = NodeError::Unavailable("none is configured".to_owned());
    for node in context.nodes.each() {
        match node.balance(account).await {
            Ok(balance) => return Ok(balance),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The slot in which an account held for sure what it holds now; `None` until there is one.
fn constant_since(seen: &Seen, account: &str, now: Balance) -> Option<u64> {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match seen.get(account) {
        Some(first) if first.units == now.units => {
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
