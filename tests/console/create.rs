//! `POST /v1/billing/invoices` (contract §4.1): what it creates.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::{Value, json};
use stack::client::console::subscription_invoice;
use stack::{Console, Deployment};

use crate::support::{
    assert_now, created, fields, finish, start, starter, text_of, time_of, topup, user, with,
};

const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const USDT: &str = "Es9vMFrzaCermJfrF4H2FYD4KCoNkY11McCe8BenwNYB";

/// No test here is about how many unpaid invoices a user may have.
async fn roomy() -> (Deployment, Console) {
    let builder = Deployment::builder().workers(0);
    let deployment = start(builder.env("QUITTANCE_INVOICES_PENDING_MAX", "1000")).await;
    let console = user(&deployment).await;
    (deployment, console)
}

/// The payment URI taken apart: its path and its parameters.
fn payment_uri(invoice: &Value) -> (String, BTreeMap<String, String>) {
    let uri = Url::parse(text_of(invoice, "qr_uri")).expect("a URI");
    assert_eq!(uri.scheme(), "solana");
    let pairs = uri.query_pairs();
    let parameters = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
    (uri.path().to_owned(), parameters.collect())
}

#[tokio::test]
async fn the_answer_is_the_single_view_with_every_field_in_its_place() {
    let (deployment, console) = roomy().await;
    let asked = json!({
        "channel": "crypto-inapp",
        "rail": "sol-native",
        "bill_action": {"type": "subscription_renew", "plan": "growth", "months": 3},
        "amount_micro": 597_000_000,
        "description": "Three months of growth",
        "ttl_seconds": 7200,
        "client_request_id": "order-7",
        "fx_rate_micro_per_atomic": 99.5,
    });
    let invoice = created(&console, &asked).await;
    let address = &deployment.settings().deposit_address;
    let mut expected = json!({
        "user_id": console.user_id(),
        "amount_micro": 597_000_000,
        "status": "pending",
        "description": "Three months of growth",
        "channel": "crypto-inapp",
        "rail": "sol-native",
        "bill_action": {"type": "subscription_renew", "plan": "growth", "months": 3},
        "client_request_id": "order-7",
        // The server's own price of a SOL, not the client's.
        "fx_rate_micro_per_atomic": 0.15,
        "amount_usd": "597.00",
        "address": {"address": address, "rail": "sol-native", "network": "sol", "token": "SOL"},
        "payments_received_micro": 0,
        "remaining_micro": 597_000_000,
        "payments": [],
    });
    for chosen_by_the_server in [
        "id",
        "reference_pubkey",
        "created_at",
        "expires_at",
        "qr_uri",
    ] {
        assert!(invoice[chosen_by_the_server].is_string(), "{invoice}");
        expected[chosen_by_the_server] = invoice[chosen_by_the_server].clone();
    }
    assert_eq!(invoice, expected);

    let digits = text_of(&invoice, "id")
        .strip_prefix("inv_")
        .expect("the prefix");
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(!digits.is_empty() && digits.bytes().all(is_hex), "{digits}");
    assert_now(
        &json!(time_of(&invoice, "created_at").unix_timestamp()),
        "created_at",
    );
    let lifetime = time_of(&invoice, "expires_at") - time_of(&invoice, "created_at");
    assert_eq!(lifetime.whole_seconds(), 7200);
    finish(deployment).await;
}

#[tokio::test]
async fn what_is_not_given_gets_its_default_or_is_left_out() {
    let (deployment, console) = roomy().await;
    let invoice = created(&console, &starter()).await;
    let expected = [
        "address",
        "amount_micro",
        "amount_usd",
        "bill_action",
        "channel",
        "created_at",
        "description",
        "expires_at",
        "id",
        "payments",
        "payments_received_micro",
        "qr_uri",
        "rail",
        "reference_pubkey",
        "remaining_micro",
        "status",
        "user_id",
    ];
    assert_eq!(fields(&invoice), expected);
    assert_eq!(invoice["description"], "");
    assert_eq!(invoice["amount_micro"], 49_000_000);
    let lifetime = time_of(&invoice, "expires_at") - time_of(&invoice, "created_at");
    assert_eq!(lifetime.whole_seconds(), 3600);

    let empty = json!({
        "amount_micro": null, "description": null, "ttl_seconds": null, "client_request_id": null,
    });
    let of_nulls = created(&console, &with(starter(), &empty)).await;
    assert_eq!(fields(&of_nulls), expected);
    let empty_texts = json!({"description": "", "client_request_id": ""});
    let of_empty_texts = created(&console, &with(starter(), &empty_texts)).await;
    assert_eq!(fields(&of_empty_texts), expected);
    assert_ne!(of_nulls["id"], invoice["id"]);
    assert_ne!(of_nulls["reference_pubkey"], invoice["reference_pubkey"]);
    finish(deployment).await;
}

#[tokio::test]
async fn subscriptions_are_priced_by_plan_and_months() {
    let (deployment, console) = roomy().await;
    for (plan, dollars) in [("starter", 49), ("growth", 199), ("scale", 499)] {
        for months in [1, 3, 6, 12] {
            let due = dollars * i64::from(months) * 1_000_000;
            for amount in [json!(null), json!(0), json!(due)] {
                let body = subscription_invoice(plan, months);
                let invoice =
                    created(&console, &with(body, &json!({"amount_micro": amount}))).await;
                assert_eq!(invoice["amount_micro"], due, "{plan} {months} {amount}");
                let usd = format!("{}.00", dollars * i64::from(months));
                assert_eq!(invoice["amount_usd"], usd, "{plan} {months}");
            }
        }
    }
    finish(deployment).await;
}

#[tokio::test]
async fn prices_and_the_largest_topup_are_settings() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_PLAN_SCALE_MICRO", "1000001")
        .env("QUITTANCE_TOPUP_MAX_MICRO", "5000000");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let invoice = created(&console, &subscription_invoice("scale", 3)).await;
    assert_eq!(invoice["amount_micro"], 3_000_003);
    assert_eq!(invoice["amount_usd"], "3.000003");
    created(&console, &topup(5_000_000)).await;
    let answer = console
        .create_invoice(&topup(5_000_001))
        .await
        .expect("an answer");
    assert_eq!((answer.status, answer.error()), (400, "amount_too_large"));
    finish(deployment).await;
}

#[tokio::test]
async fn topups_have_an_amount_and_neither_plan_nor_months() {
    let (deployment, console) = roomy().await;
    let amounts = [
        (1, "0.000001"),
        (25_000_000, "25.00"),
        (1_234_500, "1.2345"),
        (100_000_000_000, "100000.00"),
    ];
    for (amount, usd) in amounts {
        let invoice = created(&console, &topup(amount)).await;
        assert_eq!(invoice["amount_micro"], amount);
        assert_eq!(invoice["amount_usd"], usd);
        assert_eq!(invoice["bill_action"], json!({"type": "topup"}));
    }
    let ignored = [
        json!({"type": "topup", "plan": "no such plan", "months": 7}),
        json!({"type": "topup", "plan": "starter"}),
        json!({"type": "topup", "plan": null, "months": -1}),
    ];
    for action in ignored {
        let body = with(topup(5), &json!({"bill_action": action}));
        let invoice = created(&console, &body).await;
        assert_eq!(invoice["bill_action"], json!({"type": "topup"}), "{action}");
        assert_eq!(invoice["amount_micro"], 5, "{action}");
    }
    finish(deployment).await;
}

#[tokio::test]
async fn every_rail_says_where_and_how_much_to_pay() {
    let (deployment, console) = roomy().await;
    // 49 dollars at 150 dollars a SOL, rounded up to a whole lamport.
    let rails = [
        ("sol-native", "SOL", None, "0.326666667"),
        ("sol-spl-usdc", "USDC", Some(USDC), "49"),
        ("sol-spl-usdt", "USDT", Some(USDT), "49"),
    ];
    let deposit = deployment.settings().deposit_address.as_str();
    for (rail, token, mint, amount) in rails {
        for channel in ["crypto-onchain", "crypto-inapp"] {
            let body = with(starter(), &json!({"rail": rail, "channel": channel}));
            let invoice = created(&console, &body).await;
            let mut address =
                json!({"address": deposit, "rail": rail, "network": "sol", "token": token});
            let reference = text_of(&invoice, "reference_pubkey");
            let mut parameters = BTreeMap::from([
                ("amount".to_owned(), amount.to_owned()),
                ("reference".to_owned(), reference.to_owned()),
            ]);
            if let Some(mint) = mint {
                address["mint"] = json!(mint);
                parameters.insert("spl-token".to_owned(), mint.to_owned());
            }
            assert_eq!(invoice["address"], address, "{rail} {channel}");
            let expected = (deposit.to_owned(), parameters);
            assert_eq!(payment_uri(&invoice), expected, "{rail} {channel}");
            let key = bs58::decode(reference).into_vec().expect("base58");
            assert_eq!(key.len(), 32, "{rail} {channel}");
            let rate = invoice.get("fx_rate_micro_per_atomic");
            let expected = (rail == "sol-native").then(|| json!(0.15));
            assert_eq!(rate, expected.as_ref(), "{rail} {channel}");
        }
    }
    finish(deployment).await;
}

#[tokio::test]
async fn the_time_to_live_has_two_inclusive_bounds() {
    let (deployment, console) = roomy().await;
    for seconds in [60, 61, 86_399, 86_400] {
        let body = with(starter(), &json!({"ttl_seconds": seconds}));
        let invoice = created(&console, &body).await;
        let lifetime = time_of(&invoice, "expires_at") - time_of(&invoice, "created_at");
        assert_eq!(lifetime, time::Duration::seconds(seconds));
    }
    finish(deployment).await;
}

#[tokio::test]
async fn fields_that_are_the_servers_are_not_taken_from_the_body() {
    let (deployment, console) = roomy().await;
    let other = user(&deployment).await;
    let forged = json!({
        "id": "inv_0000000000000001",
        "user_id": other.user_id(),
        "status": "paid",
        "version": 9,
        "payments_received_micro": 49_000_000,
        "paid_at": "2020-01-01T00:00:00Z",
        "processed_at": "2020-01-01T00:00:00Z",
        "created_at": "2020-01-01T00:00:00Z",
        "expires_at": "2099-01-01T00:00:00Z",
        "reference_pubkey": USDC,
        "address": {"address": USDC},
        "amount_usd": "0.01",
    });
    let plain = created(&console, &starter()).await;
    let invoice = created(&console, &with(starter(), &forged)).await;
    assert_eq!(fields(&invoice), fields(&plain));
    for field in [
        "user_id",
        "status",
        "payments_received_micro",
        "address",
        "amount_usd",
    ] {
        assert_eq!(invoice[field], plain[field], "{field}");
    }
    for field in ["id", "reference_pubkey", "created_at", "expires_at"] {
        assert_ne!(invoice[field], forged[field], "{field}");
    }
    let read = console
        .get_invoice(text_of(&invoice, "id"))
        .await
        .expect("an answer");
    assert_eq!((read.status, read.body), (200, invoice));
    finish(deployment).await;
}
