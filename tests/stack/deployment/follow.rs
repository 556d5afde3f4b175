//! Deposit accounts that are followed: apis offer no others.

use std::time::Duration;

use solana_pubkey::Pubkey;
use sqlx::PgPool;
use tokio::time::timeout;

use crate::chain::Token;
use crate::chain::instructions::TOKEN_DECIMALS;
use crate::settings::Settings;

/// Where no chain says otherwise: the mints of the main network, as the processes assume them.
const USDC_MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const USDT_MINT: &str = "Es9vMFrzaCermJfrF4H2FYD4KCoNkY11McCe8BenwNYB";
const POLL: Duration = Duration::from_millis(5);
/// A watcher whose nodes do not answer registers nothing.
const LIMIT: Duration = Duration::from_secs(20);

fn setting<'a>(settings: &'a Settings, name: &str, otherwise: &'a str) -> &'a str {
    settings.extra.get(name).map_or(otherwise, String::as_str)
}

fn recipient(settings: &Settings) -> Option<Pubkey> {
    let name = "QUITTANCE_SOLANA_DEPOSIT_ADDRESS";
    setting(settings, name, &settings.deposit_address)
        .parse()
        .ok()
}

/// Writes down the deployment's deposit accounts as a watcher would, for one that has no watcher. Does nothing without a
/// deposit address.
pub(super) async fn register(pool: &PgPool, settings: &Settings) -> Result<(), sqlx::Error> {
    let Some(recipient) = recipient(settings) else {
        return Ok(());
    };
    let mints = settings
        .chain
        .as_ref()
        .map_or([USDC_MINT, USDT_MINT], |chain| {
            [&chain.usdc_mint, &chain.usdt_mint]
        });
    let tokens = [
        ("sol-spl-usdc", "QUITTANCE_USDC_MINT", mints[0]),
        ("sol-spl-usdt", "QUITTANCE_USDT_MINT", mints[1]),
    ];
    let mut rows = vec![("sol-native", recipient, None)];
    for (rail, name, mint) in tokens {
        let Ok(mint) = setting(settings, name, mint).parse() else {
            continue;
        };
        // Whichever program it is, nobody asks the chain.
        let token = Token::spl(mint, TOKEN_DECIMALS);
        rows.push((rail, token.account_of(&recipient), Some(token)));
    }
    for (rail, account, token) in rows {
        sqlx::query(
            "with account as (
                 insert into deposit_accounts (account, rail, recipient, mint, token_program)
                 values ($1, $2, $3, $4, $5)
             )
             insert into watched_keys (key, start_slot) values ($1, 0)",
        )
        .bind(account.to_string())
        .bind(rail)
        .bind(recipient.to_string())
        .bind(token.map(|token| token.mint.to_string()))
        .bind(token.map(|token| token.program.to_string()))
        .execute(pool)
        .await?;
    }
    Ok(())
}

/// Waits until a watcher has registered them, as long as that may take.
pub(super) async fn until_registered(
    pool: &PgPool,
    settings: &Settings,
) -> Result<(), sqlx::Error> {
    let Some(recipient) = recipient(settings) else {
        return Ok(());
    };
    let registered = async {
        let accounts =
            "select count(*) = 3 from deposit_accounts d join watched_keys k on k.key = d.account
                        where d.recipient = $1";
        loop {
            let asked = sqlx::query_scalar(accounts).bind(recipient.to_string());
            if asked.fetch_one(pool).await? {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(LIMIT, registered).await.unwrap_or(Ok(()))
}
