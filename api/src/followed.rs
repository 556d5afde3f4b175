//! Which rails can be paid on: those whose deposit account a watcher follows. Money that is sent to an account nobody
//! follows would be found late, or judged as if it were not ours; so its address is shown and accepted only then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::config::BillingConfig;
use shared::invoices::{Rail, RailRegistry};
use shared::telemetry::{Shutdown, log_failure};
use sqlx::PgPool;

/// How soon to look again for what is not followed yet.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the deposit accounts. An account that was once followed stays so.
pub struct Followed {
    pool: PgPool,
    recipient: String,
    rails: Mutex<BTreeMap<&'static str, Account>>,
}

/// Of one rail.
struct Account {
    mint: Option<String>,
    is_followed: bool,
}

impl Followed {
    /// Knows nothing of the rails to offer yet.
    pub fn new(pool: PgPool, config: &BillingConfig, rails: &RailRegistry) -> Self {
        let account = |rail: Rail| Account {
            mint: match rail {
                Rail::SolSplUsdc => Some(config.usdc_mint.clone()),
                Rail::SolSplUsdt => Some(config.usdt_mint.clone()),
                _ => None,
            },
            is_followed: false,
        };
        let rails = rails.enabled().map(|rail| (rail.id(), account(rail)));
        Self {
            pool,
            recipient: config.solana_deposit_address.clone(),
            rails: Mutex::new(rails.collect()),
        }
    }

    /// Whether a watcher follows what is paid on this rail.
    pub fn has(&self, rail: Rail) -> bool {
        let rails = self.rails();
        rails
            .get(rail.id())
            .is_some_and(|account| account.is_followed)
    }

    /// Looks until every rail is followed; says so when that takes longer than one look, and when it is over.
    pub async fn wait(&self, shutdown: &Shutdown) {
        let mut told = Vec::new();
        loop {
            if let Err(error) = self.look().await {
                log_failure("the watched accounts cannot be read", &error);
            }
            let missing = self.missing();
            if missing != told {
                tell(&missing);
                told = missing;
            }
            if told.is_empty() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = shutdown.wait() => return,
            }
        }
    }

    /// Looks once.
    pub async fn look(&self) -> Result<(), sqlx::Error> {
        let rows = sqlx::query!(
            "select d.rail, d.mint from deposit_accounts d join watched_keys k on k.key = d.account
             where d.recipient = $1",
            self.recipient
        )
        .fetch_all(&self.pool)
        .await?;
        let mut rails = self.rails();
        for row in rows {
            if let Some(account) = rails.get_mut(row.rail.as_str())
                && account.mint == row.mint
            {
                account.is_followed = true;
            }
        }
        Ok(())
    }

    fn missing(&self) -> Vec<&'static str> {
        let rails = self.rails();
        let missing = rails.iter().filter(|(_, account)| !account.is_followed);
        missing.map(|(rail, _)| *rail).collect()
    }

    fn rails(&self) -> MutexGuard<'_, BTreeMap<&'static str, Account>> {
        self.rails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(missing: &[&'static str]) {
    if missing.is_empty() {
        tracing::warn!("watchers follow every deposit account: all rails are offered");
    } else {
        let rails = missing.join(", ");
        tracing::warn!(
            rails,
            "no watcher follows these deposit accounts yet: their rails are not offered"
        );
    }
}
