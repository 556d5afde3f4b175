//! Money on chain, as a watcher would have recorded it: final, on the deployment's USDC account.

use serde_json::{Value, json};
use sqlx::PgPool;
use stack::Deployment;

/// The token account that USDC arrives on.
pub const USDC: &str = "the deployment's USDC account";

/// Registers the wallet of the deployment's address, which SOL arrives on; returns it.
pub async fn register_wallet(deployment: &Deployment) -> String {
    let wallet = deployment.settings().deposit_address.clone();
    sqlx::query(
        "insert into deposit_accounts (account, rail, recipient) values ($1, 'sol-native', $1) on conflict do nothing",
    )
    .bind(&wallet)
    .execute(deployment.pool())
    .await
    .expect("the superuser may");
    wallet
}

/// Registers the token accounts of the deployment's address.
pub async fn register(deployment: &Deployment) {
    let recipient = &deployment.settings().deposit_address;
    let tokens = [
        ("sol-spl-usdc", USDC),
        ("sol-spl-usdt", "the deployment's USDT account"),
    ];
    for (rail, account) in tokens {
        sqlx::query(
            "insert into deposit_accounts (account, rail, recipient, mint, token_program)
             values ($1, $2, $3, 'a mint', 'a program')
             on conflict (rail, recipient) do update set account = excluded.account",
        )
        .bind(account)
        .bind(rail)
        .bind(recipient)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    }
}

/// A final transaction: units for invoices, and units for nobody.
pub async fn record(pool: &PgPool, signature: &str, credits: &[(&str, i64)], rest: i64) {
    record_on(pool, USDC, signature, credits, rest).await;
}

/// The same on another account.
pub async fn record_on(
    pool: &PgPool,
    account: &str,
    signature: &str,
    credits: &[(&str, i64)],
    rest: i64,
) {
    let units: Vec<i64> = credits.iter().map(|(_, units)| *units).collect();
    let rail: String = sqlx::query_scalar("select rail from deposit_accounts where account = $1")
        .bind(account)
        .fetch_one(pool)
        .await
        .expect("it is known");
    let of_each = |count: usize| vec![account; count];
    let open: Vec<i64> = Some(rest).filter(|rest| *rest > 0).into_iter().collect();
    let look = json!({
        "signature": signature, "slot": 1, "landed_at": null, "is_final": true, "accounts_known": 0,
        "accounts": [account],
        "nets": [units.iter().sum::<i64>() + rest],
        "credit_accounts": of_each(credits.len()),
        "credit_invoices": credits.iter().map(|(invoice, _)| *invoice).collect::<Vec<_>>(),
        "credit_units": units,
        "open_accounts": of_each(open.len()),
        "open_units": open,
        "open_reasons": vec!["untagged"; open.len()],
        "open_invoices": vec![Value::Null; open.len()],
        "open_rails": vec![rail; open.len()],
        "out_accounts": [],
        "out_units": [],
    });
    sqlx::query(
        "select record_chain_looks($1, false, null, 0, null, null, '0af7651916cd43dd8448eb211c80319c')",
    )
    .bind(json!([look]))
    .execute(pool)
    .await
    .expect("it can be recorded");
}

/// The deposit that a transaction left for operators.
pub async fn deposit(pool: &PgPool, signature: &str) -> i64 {
    sqlx::query_scalar("select id from unattributed_deposits where signature = $1")
        .bind(signature)
        .fetch_one(pool)
        .await
        .expect("it was listed")
}
