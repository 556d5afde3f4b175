//! `GET /v1/billing/rails` (contract §4.9).

use serde_json::{Value, json};
use stack::{Answer, Deployment};

use crate::support::{Caller, finish, send, start};

const RAILS: &str = "/v1/billing/rails";

fn rail(id: &str, name: &str, token: &str, decimals: u8, requires_fx_rate: bool) -> Value {
    json!({
        "id": id,
        "display_name": name,
        "network": "sol",
        "token": token,
        "decimals": decimals,
        "confirmations": 32,
        "channels": ["crypto-onchain", "crypto-inapp"],
        "requires_fx_rate": requires_fx_rate,
    })
}

async fn rails(deployment: &Deployment) -> Answer {
    send(Caller::at(deployment.api(0).url()).get(RAILS)).await
}

#[tokio::test]
async fn everybody_may_read_the_solana_rails() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let caller = Caller::at(deployment.api(0).url());
    let expected = json!({"rails": [
        rail("sol-native", "SOL on Solana", "SOL", 9, true),
        rail("sol-spl-usdc", "USDC on Solana", "USDC", 6, false),
        rail("sol-spl-usdt", "USDT on Solana", "USDT", 6, false),
    ]});
    let calls = [
        ("no cookie", caller.get(RAILS)),
        (
            "a dead session",
            caller.get(RAILS).header("cookie", "nl_session=dead"),
        ),
        (
            "a foreign page",
            caller.get(RAILS).header("origin", "https://evil.test"),
        ),
        (
            "parameters",
            caller.get("/v1/billing/rails?limit=1&status=x"),
        ),
    ];
    for (what, call) in calls {
        let answer = send(call).await;
        assert_eq!((answer.status, &answer.body), (200, &expected), "{what}");
    }
    finish(deployment).await;
}

#[tokio::test]
async fn what_is_not_configured_is_not_listed() {
    let builder = Deployment::builder().workers(0);
    let without_price = start(builder.clone().env("QUITTANCE_SOL_PRICE_MICRO", "0")).await;
    let body = rails(&without_price).await.body;
    let ids: Vec<&Value> = body["rails"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|rail| &rail["id"])
        .collect();
    assert_eq!(ids, ["sol-spl-usdc", "sol-spl-usdt"]);
    finish(without_price).await;

    let without_address = start(builder.env("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", "")).await;
    let answer = rails(&without_address).await;
    assert_eq!((answer.status, answer.body), (200, json!({"rails": []})));
    finish(without_address).await;
}
