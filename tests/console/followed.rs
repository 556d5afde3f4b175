//! A rail is offered once a watcher follows its deposit account, and no sooner.

use std::time::Duration;

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use stack::{Console, Deployment};

use crate::support::{
    Caller, LIMIT, assert_refused, assert_unchanged_by, books, created, finish, send, start, topup,
    until, user, with,
};

const RAILS: [&str; 3] = ["sol-native", "sol-spl-usdc", "sol-spl-usdt"];
const WAITS: &str = "no watcher follows these deposit accounts yet";
const OVER: &str = "watchers follow every deposit account";
/// An api looks once a second; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(4);
const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const USDT: &str = "Es9vMFrzaCermJfrF4H2FYD4KCoNkY11McCe8BenwNYB";

async fn offered(deployment: &Deployment) -> Vec<String> {
    let caller = Caller::at(deployment.api(0).url());
    let answer = send(caller.get("/v1/billing/rails")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rails = answer.body["rails"].as_array().expect("a list").clone();
    let ids = rails.iter().map(|rail| rail["id"].as_str().expect("an id"));
    ids.map(str::to_owned).collect()
}

async fn until_offered(deployment: &Deployment, rails: &[&str]) {
    until(&format!("{rails:?} are offered"), SOON, async || {
        (offered(deployment).await == rails).then_some(())
    })
    .await;
}

fn on(rail: &str) -> Value {
    with(topup(5_000_000), &json!({"rail": rail}))
}

async fn assert_not_accepted(deployment: &Deployment, console: &Console, rails: &[&str]) {
    let before = books(deployment.pool()).await;
    for rail in rails {
        let answer = console.create_invoice(&on(rail)).await.expect("an answer");
        assert_refused(&answer, 400, "rail_not_enabled", rail);
    }
    assert_unchanged_by(&before, deployment, "refused").await;
}

/// Writes down an account, as a watcher does.
async fn register(
    deployment: &Deployment,
    recipient: &str,
    rail: &str,
    mint: Option<&str>,
) -> String {
    let account = match mint {
        Some(_) => Pubkey::new_unique().to_string(),
        None => recipient.to_owned(),
    };
    sqlx::query(
        "insert into deposit_accounts (account, rail, recipient, mint, token_program) values ($1, $2, $3, $4, $4)",
    )
    .bind(&account)
    .bind(rail)
    .bind(recipient)
    .bind(mint)
    .execute(deployment.pool())
    .await
    .expect("the superuser may");
    account
}

async fn follow(deployment: &Deployment, account: &str) {
    sqlx::query("insert into watched_keys (key, start_slot) values ($1, 0)")
        .bind(account)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
}

#[tokio::test]
async fn an_address_is_shown_and_accepted_only_once_a_watcher_follows_it() {
    let deployment = start(Deployment::builder().workers(0).unfollowed()).await;
    let console = user(&deployment).await;
    let address = deployment.settings().deposit_address.clone();
    let api = deployment.api(0);
    let line = api.wait_for_log(WAITS, LIMIT).await.expect("it says so");
    for told in [r#""WARN""#, "sol-native, sol-spl-usdc, sol-spl-usdt"] {
        assert!(line.contains(told), "{line}");
    }
    assert_eq!(offered(&deployment).await, Vec::<String>::new());
    assert_not_accepted(&deployment, &console, &RAILS).await;

    // Neither an older address, nor one that is known and not followed, nor another mint on the rail.
    let older = Pubkey::new_unique().to_string();
    let old = register(&deployment, &older, "sol-native", None).await;
    follow(&deployment, &old).await;
    let native = register(&deployment, &address, "sol-native", None).await;
    let tether = register(&deployment, &address, "sol-spl-usdt", Some(USDC)).await;
    follow(&deployment, &tether).await;
    let dollar = register(&deployment, &address, "sol-spl-usdc", Some(USDC)).await;
    follow(&deployment, &dollar).await;
    until_offered(&deployment, &["sol-spl-usdc"]).await;
    created(&console, &on("sol-spl-usdc")).await;
    assert_not_accepted(&deployment, &console, &["sol-native", "sol-spl-usdt"]).await;
    api.wait_for_log("sol-native, sol-spl-usdt", LIMIT)
        .await
        .expect("it says what is left");

    follow(&deployment, &native).await;
    sqlx::query("update deposit_accounts set mint = $1 where account = $2")
        .bind(USDT)
        .bind(&tether)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    until_offered(&deployment, &RAILS).await;
    for rail in RAILS {
        created(&console, &on(rail)).await;
    }
    api.wait_for_log(OVER, LIMIT).await.expect("it says so");
    let said = |text: &str| api.logs().iter().filter(|line| line.contains(text)).count();
    assert_eq!((said(WAITS), said(OVER)), (2, 1), "a line for each change");
    finish(deployment).await;
}

#[tokio::test]
async fn an_api_that_starts_again_offers_at_once_what_is_followed() {
    let deployment = start(Deployment::builder().workers(0)).await;
    assert_eq!(offered(&deployment).await, RAILS);
    let api = deployment.api(0);
    let said = api.logs().iter().any(|line| line.contains(WAITS));
    assert!(!said, "there is nothing to wait for");
    finish(deployment).await;
}
