//! Which keys to follow: the configured deposit accounts and the beacon. Once registered they stay: old invoices name
//! old accounts.

use std::sync::Arc;
use std::time::Duration;

use shared::chain::{
    Commitment, DepositAccount, DepositError, NodeError, Nodes, deposit_accounts,
    known_deposit_accounts,
};
use shared::config::Config;
use shared::telemetry::{Shutdown, log_failure};
use sqlx::PgPool;

/// How soon to try again while no node answers.
const RETRY: Duration = Duration::from_secs(1);

/// Registers what is configured, waiting for a node if need be, and returns every account that was ever ours; `None`
/// when the process stops first.
pub async fn register(
    config: &Config,
    pool: &PgPool,
    nodes: &Nodes,
    shutdown: &Shutdown,
) -> Result<Option<Arc<Vec<DepositAccount>>>, DepositError> {
    loop {
        let trial = tokio::select! {
            trial = try_register(config, pool, nodes) => trial,
            () = shutdown.wait() => return Ok(None),
        };
        match trial {
            Ok(accounts) => return Ok(Some(Arc::new(accounts))),
            Err(error) if error.is_transient() => {
                log_failure("the chain cannot be reached", &error);
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_register(
    config: &Config,
    pool: &PgPool,
    nodes: &Nodes,
) -> Result<Vec<DepositAccount>, DepositError> {
    let slot = nodes.slot(Commitment::Finalized).await?;
    let start_slot =
        i64::try_from(slot).map_err(|_| NodeError::Unreadable("the slot".to_owned()))?;
    let mut keys = Vec::new();
    let configured = deposit_accounts(&config.billing, nodes).await?;
    for account in &configured {
        let (mint, program) = account.token.unzip();
        sqlx::query!(
            "insert into deposit_accounts (account, rail, recipient, mint, token_program)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
            account.account.to_string(),
            account.rail.id(),
            account.recipient.to_string(),
            mint.map(|mint| mint.to_string()),
            program.map(|program| program.to_string()),
        )
        .execute(pool)
        .await?;
        keys.push(account.account.to_string());
    }
    keys.extend(Some(config.chain.solana_beacon_key.clone()).filter(|key| !key.is_empty()));
    sqlx::query!(
        "insert into watched_keys (key, start_slot) select key, $2 from unnest($1::text[]) as key
         on conflict do nothing",
        &keys,
        start_slot
    )
    .execute(pool)
    .await?;
    let known = known_deposit_accounts(pool).await?;
    match configured.iter().find(|account| !known.contains(account)) {
        Some(account) => Err(DepositError::OtherMint {
            rail: account.rail.id(),
        }),
        None => Ok(known),
    }
}
