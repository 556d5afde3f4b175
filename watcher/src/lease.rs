//! Shares the keys among the watchers that live: each key is followed by one, a dead one's keys move within the lease.
//! Two watchers on one key would only be wasteful.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shared::chain::{DepositAccount, DepositError, known_deposit_accounts};
use shared::db::{self, begin};
use shared::telemetry::log_failure;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::context::Context;

/// A watcher renews its leases so many times in the length of one.
const RENEWALS: u32 = 3;

/// Keeps this watcher's share until the process stops, then gives it up at once.
pub async fn keep(
    context: Context,
    held: watch::Sender<BTreeSet<String>>,
    accounts: watch::Sender<Arc<Vec<DepositAccount>>>,
) {
    let lease = Duration::from_millis(context.config.watcher.watch_lease_ms);
    let mut ticks = interval(lease / RENEWALS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.wait() => break,
        }
        match share(&context, lease).await {
            Ok((keys, known)) => {
                held.send_if_modified(|before| {
                    let changed = *before != keys;
                    if changed {
                        tracing::info!(keys = keys.len(), "following");
                        *before = keys;
                    }
                    changed
                });
                accounts.send_replace(Arc::new(known));
            }
            // Followed on meanwhile: another watcher may do the same, which is safe.
            Err(error) => log_failure("leases cannot be renewed", &error),
        }
    }
    if let Err(error) = give_up(&context).await {
        log_failure("leases cannot be given up; they will run out", &error);
    }
}

/// Says that this watcher lives, renews what it holds, and takes or gives keys until the shares are even.
async fn share(
    context: &Context,
    lease: Duration,
) -> Result<(BTreeSet<String>, Vec<DepositAccount>), DepositError> {
    let lease = db::interval(lease);
    let mut transaction = begin(&context.pool).await?;
    sqlx::query!(
        "insert into watchers (id) values ($1) on conflict (id) do update set seen_at = now()",
        context.id
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "delete from watchers where seen_at < now() - $1::interval * 10",
        lease
    )
    .execute(&mut *transaction)
    .await?;
    let keys = sqlx::query_scalar!(
        "with fair as (
             select ceil(count(*)::numeric / (select count(*) from watchers where seen_at > now() - $2::interval)) as keys
             from watched_keys
         ), mine as (
             select k.key from watched_keys k where k.holder = $1 and k.lease_until > now()
             order by k.key limit (select keys from fair)
         ), free as (
             select k.key from watched_keys k where k.lease_until <= now()
             order by k.key limit greatest((select keys from fair) - (select count(*) from mine), 0)
             for update skip locked
         ), given as (
             update watched_keys k set holder = null, lease_until = '-infinity'
             where k.holder = $1 and k.lease_until > now() and k.key not in (select m.key from mine m)
         )
         update watched_keys k set holder = $1, lease_until = now() + $2::interval
         where k.key in (select m.key from mine m union all select f.key from free f)
         returning k.key",
        context.id,
        lease
    )
    .fetch_all(&mut *transaction)
    .await?;
    let known = known_deposit_accounts(&mut *transaction).await?;
    transaction.commit().await?;
    Ok((keys.into_iter().collect(), known))
}

async fn give_up(context: &Context) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update watched_keys set holder = null, lease_until = '-infinity' where holder = $1",
        context.id
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}

/// Takes this watcher off the list of those that live, once it has ended what it was examining.
pub async fn leave(context: &Context) {
    let left = sqlx::query!("delete from watchers where id = $1", context.id)
        .execute(&context.pool)
        .await;
    if let Err(error) = left {
        log_failure(
            "a watcher cannot be taken off the list; its time will run out",
            &error,
        );
    }
}
