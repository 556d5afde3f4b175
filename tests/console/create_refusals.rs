//! What creating an invoice refuses (contract §4.1): each row its own answer, and nothing changed.

use serde_json::{Value, json};
use stack::Deployment;

use crate::support::{
    Caller, INVOICES, assert_refused, assert_unchanged_by, books, finish, send, start, starter,
    topup, user, with,
};

const FOREIGN_RAILS: [&str; 8] = [
    "tron-usdt",
    "tron-usdc",
    "eth-usdt",
    "eth-usdc",
    "bsc-usdt",
    "bsc-usdc",
    "polygon-usdc",
    "polygon-usdt",
];

/// A body, and the error that it must get.
type Row = (Value, &'static str);

/// A good body with these fields, and the error that it must get.
fn but(fields: &Value, error: &'static str) -> Row {
    (with(starter(), fields), error)
}

fn purchase(action: &Value) -> Value {
    with(
        json!({"type": "subscription_purchase", "plan": "starter", "months": 1}),
        action,
    )
}

fn channels_and_rails() -> Vec<Row> {
    let mut rows = Vec::new();
    for channel in [
        "",
        "cash",
        "CRYPTO-ONCHAIN",
        " crypto-onchain",
        "crypto-onchain\u{0}",
        "crypto",
    ] {
        rows.push(but(&json!({"channel": channel}), "bad channel"));
    }
    for rail in [
        "",
        "btc",
        "SOL-NATIVE",
        "sol",
        "ton-usdt",
        "sol-spl-usdc\u{0}",
        "sol-native ",
    ] {
        rows.push(but(&json!({"rail": rail}), "bad rail"));
    }
    for rail in FOREIGN_RAILS {
        rows.push(but(&json!({"rail": rail}), "rail_not_enabled"));
        let inapp = json!({"rail": rail, "channel": "crypto-inapp"});
        rows.push(but(&inapp, "rail_channel_mismatch"));
    }
    rows
}

fn actions() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |action: &Value, error| {
        rows.push(but(&json!({"bill_action": purchase(action)}), error));
    };
    for kind in ["", "gift", "TOPUP", "subscription", "topup\u{0}"] {
        row(&json!({"type": kind}), "bad bill_action type");
    }
    for kind in ["subscription_purchase", "subscription_renew"] {
        for plan in [
            json!(null),
            json!(""),
            json!("free"),
            json!("Starter"),
            json!("scale\u{0}"),
        ] {
            row(&json!({"type": kind, "plan": plan}), "bad plan");
        }
        for months in [
            json!(null),
            json!(0),
            json!(-1),
            json!(2),
            json!(13),
            json!(65_537),
            json!(i64::MAX),
            json!(i64::MIN),
        ] {
            row(&json!({"type": kind, "months": months}), "bad months");
        }
    }
    rows.push(but(
        &json!({"bill_action": {"type": "subscription_renew"}}),
        "bad plan",
    ));
    let no_months = json!({"type": "subscription_renew", "plan": "scale"});
    rows.push(but(&json!({"bill_action": no_months}), "bad months"));
    rows
}

fn amounts() -> Vec<Row> {
    let mut rows = Vec::new();
    for amount in [1, 48_999_999, 49_000_001, 98_000_000, 199_000_000, i64::MAX] {
        rows.push(but(&json!({"amount_micro": amount}), "amount_mismatch"));
    }
    for amount in [-1, -49_000_000, i64::MIN] {
        rows.push(but(&json!({"amount_micro": amount}), "bad amount_micro"));
        rows.push((topup(amount), "bad amount_micro"));
    }
    rows.push((topup(0), "amount_required"));
    rows.push((
        with(topup(0), &json!({"amount_micro": null})),
        "amount_required",
    ));
    let mut absent = topup(0);
    drop(
        absent
            .as_object_mut()
            .and_then(|map| map.remove("amount_micro")),
    );
    rows.push((absent, "amount_required"));
    for amount in [
        100_000_000_001,
        9_007_199_254_740_991,
        9_007_199_254_740_992,
        i64::MAX,
    ] {
        rows.push((topup(amount), "amount_too_large"));
    }
    rows
}

fn times_and_texts() -> Vec<Row> {
    let mut rows = Vec::new();
    for seconds in [
        59,
        0,
        -1,
        -3600,
        86_401,
        i64::from(u32::MAX) + 61,
        i64::MAX,
        i64::MIN,
    ] {
        rows.push(but(&json!({"ttl_seconds": seconds}), "bad ttl_seconds"));
    }
    for text in [
        "x".repeat(501),
        "ä".repeat(501),
        "\u{0}".to_owned(),
        "a\u{0}b".to_owned(),
    ] {
        rows.push(but(&json!({"description": text}), "bad description"));
    }
    for text in [
        "x".repeat(129),
        "😀".repeat(129),
        "\u{0}".to_owned(),
        "a\u{0}".to_owned(),
    ] {
        rows.push(but(
            &json!({"client_request_id": text}),
            "bad client_request_id",
        ));
    }
    rows
}

#[tokio::test]
async fn every_refusal_has_its_own_error_and_changes_nothing() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let before = books(deployment.pool()).await;
    let rows = [
        channels_and_rails(),
        actions(),
        amounts(),
        times_and_texts(),
    ]
    .concat();
    for (body, error) in rows {
        let answer = console.create_invoice(&body).await.expect("an answer");
        assert_refused(&answer, 400, error, &body.to_string());
    }
    let anonymous = Caller::at(deployment.api(0).url())
        .post(INVOICES)
        .json(&starter());
    assert_refused(&send(anonymous).await, 401, "auth required", "no cookie");
    assert_unchanged_by(&before, &deployment, "refused").await;
    finish(deployment).await;
}

#[tokio::test]
async fn rails_that_are_not_configured_are_refused() {
    let builder = Deployment::builder().workers(0);
    let without_price = start(builder.clone().env("QUITTANCE_SOL_PRICE_MICRO", "0")).await;
    let console = user(&without_price).await;
    let before = books(without_price.pool()).await;
    let body = with(starter(), &json!({"rail": "sol-native"}));
    let answer = console.create_invoice(&body).await.expect("an answer");
    assert_refused(&answer, 400, "rail_not_enabled", "no price of a SOL");
    assert_unchanged_by(&before, &without_price, "refused").await;
    finish(without_price).await;

    let without_address = start(builder.env("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", "")).await;
    let console = user(&without_address).await;
    let before = books(without_address.pool()).await;
    for rail in ["sol-native", "sol-spl-usdc", "sol-spl-usdt"] {
        for channel in ["crypto-onchain", "crypto-inapp"] {
            let body = with(starter(), &json!({"rail": rail, "channel": channel}));
            let answer = console.create_invoice(&body).await.expect("an answer");
            assert_refused(&answer, 400, "rail_not_enabled", &body.to_string());
        }
    }
    assert_unchanged_by(&before, &without_address, "refused").await;
    finish(without_address).await;
}

#[tokio::test]
async fn twenty_unpaid_invoices_are_enough() {
    let deployment = start(Deployment::builder()).await;
    let console = deployment
        .user_with_balance(49_000_000)
        .await
        .expect("a user");
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(crate::support::invoice(&console, &starter()).await);
    }
    let before = books(deployment.pool()).await;
    for body in [starter(), topup(5)] {
        let answer = console.create_invoice(&body).await.expect("an answer");
        assert_refused(&answer, 409, "too_many_pending_invoices", &body.to_string());
    }
    assert_unchanged_by(&before, &deployment, "refused").await;

    // Whatever ends an invoice makes room for one more; and other users have their own twenty.
    crate::support::created(&user(&deployment).await, &starter()).await;
    assert_eq!(
        console.cancel(&ids[0]).await.expect("an answer").status,
        204
    );
    assert_eq!(console.pay(&ids[1]).await.expect("an answer").status, 200);
    crate::support::backdate(deployment.pool(), &ids[2]).await;
    for _ in 0..3 {
        crate::support::created(&console, &starter()).await;
    }
    let answer = console.create_invoice(&starter()).await.expect("an answer");
    assert_refused(&answer, 409, "too_many_pending_invoices", "full again");
    finish(deployment).await;
}
