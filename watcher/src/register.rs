//! Which keys to follow: the configured deposit accounts and the beacon. Once registered they stay: old invoices name
//! old accounts.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use shared::chain::{
    Commitment, DepositAccount, DepositError, NodeError, Nodes, deposit_accounts,
    known_deposit_accounts,
};
use shared::config::Config;
use shared::db::begin;
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
    let start_slot = start_slot(nodes).await?;
    let mut keys = Vec::new();
    let configured = deposit_accounts(&config.billing, nodes).await?;
    // Both or neither: an account that has a key is followed.
    let mut transaction = begin(pool).await?;
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
        .execute(&mut *transaction)
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
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let known = known_deposit_accounts(pool).await?;
    match configured.iter().find(|account| !known.contains(account)) {
        Some(account) => Err(DepositError::OtherMint {
            rail: account.rail.id(),
        }),
        None => Ok(known),
    }
}

/// From where on a new key's history is ours: no node that answers may be further, or what it has not seen yet is lost.
async fn start_slot(nodes: &Nodes) -> Result<i64, NodeError> {
    let slots = join_all(nodes.each().map(|node| node.slot(Commitment::Finalized))).await;
    let (mut lowest, mut failed) = (None, None);
    for slot in slots {
        match slot {
            Ok(slot) => lowest = Some(lowest.map_or(slot, |lowest: u64| lowest.min(slot))),
            Err(error) => failed = Some(error),
        }
    }
    match (lowest, failed) {
        (Some(slot), _) => {
            i64::try_from(slot).map_err(|_| NodeError::Unreadable("the slot".to_owned()))
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(NodeError::Unavailable("none is configured".to_owned())),
    }
}
