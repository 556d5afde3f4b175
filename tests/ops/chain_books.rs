//! Money on chain, as a watcher would have recorded it: final, on the deployment's USDC account.

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
    let invoices: Vec<&str> = credits.iter().map(|(invoice, _)| *invoice).collect();
    let units: Vec<i64> = credits.iter().map(|(_, units)| *units).collect();
    let net: i64 = units.iter().sum::<i64>() + rest;
    let open: Vec<i64> = Some(rest).filter(|rest| *rest > 0).into_iter().collect();
    sqlx::query(
        "select record_chain_payment($1, 1, null, true, false, array[$2], array[$3],
            array_fill($2, array[cardinality($4)]), $4, $5,
            array_fill($2, array[cardinality($6)]), $6::numeric[], array_fill('untagged'::text, array[cardinality($6)]),
            array_fill(null::text, array[cardinality($6)]),
            array_fill((select rail from deposit_accounts where account = $2), array[cardinality($6)]),
            '{}', '{}', null, 0, null, 0, '0af7651916cd43dd8448eb211c80319c')",
    )
    .bind(signature)
    .bind(account)
    .bind(net)
    .bind(&invoices)
    .bind(&units)
    .bind(&open)
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
