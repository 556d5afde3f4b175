//! Money for wallets that people try things with, over HTTP on loopback:
//! `POST /faucet {"address": …, "lamports": …, "usdc": …, "usdt": …}`, amounts in base units.

use std::io;
use std::net::Ipv4Addr;
use std::str::FromStr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;
use solana_pubkey::Pubkey;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::chain::{Chain, Gift, LAMPORTS_PER_SOL};

const MILLION_TOKENS: u64 = 1_000_000_000_000;
/// The most lamports at once.
const LAMPORTS_MAX: u64 = 100 * LAMPORTS_PER_SOL;
/// The most base units of a token at once.
const TOKENS_MAX: u64 = MILLION_TOKENS;

/// A running faucet. Dropping it ends it.
pub(super) struct Faucet {
    url: String,
    task: JoinHandle<()>,
}

impl Faucet {
    /// Starts a faucet of the chain's money on a free port.
    pub(super) async fn start(chain: Chain) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/faucet", post(give)).with_state(chain);
        let task = tokio::spawn(async move {
            // Ends only with us.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, task })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Faucet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    address: String,
    #[serde(default)]
    lamports: u64,
    #[serde(default)]
    usdc: u64,
    #[serde(default)]
    usdt: u64,
}

async fn give(State(chain): State<Chain>, body: Bytes) -> Response {
    let (address, gift) = match read(&body) {
        Ok(wish) => wish,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    match chain.give(&address, gift).await {
        Ok(signature) => {
            let signatures: Vec<String> = signature.iter().map(ToString::to_string).collect();
            Json(json!({ "signatures": signatures })).into_response()
        }
        Err(error) => refuse(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

/// Reads a wish, or says what is wrong with it.
fn read(body: &[u8]) -> Result<(Pubkey, Gift), String> {
    let wish: Wish = serde_json::from_slice(body).map_err(|error| format!("bad json: {error}"))?;
    let address = Pubkey::from_str(&wish.address)
        .map_err(|_| "bad address: must be base58 of 32 bytes".to_owned())?;
    for (name, amount, most) in [
        ("lamports", wish.lamports, LAMPORTS_MAX),
        ("usdc", wish.usdc, TOKENS_MAX),
        ("usdt", wish.usdt, TOKENS_MAX),
    ] {
        if amount > most {
            return Err(format!("bad {name}: at most {most} at once"));
        }
    }
    let gift = Gift {
        lamports: wish.lamports,
        usdc: wish.usdc,
        usdt: wish.usdt,
    };
    if gift == Gift::default() {
        return Err("nothing asked for: name lamports, usdc or usdt".to_owned());
    }
    Ok((address, gift))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn wishes_are_read_or_refused_with_a_reason() {
        let address = Pubkey::new_unique();
        let body = format!(r#"{{"address":"{address}","usdc":5}}"#);
        let gift = Gift {
            usdc: 5,
            ..Gift::default()
        };
        assert_eq!(read(body.as_bytes()), Ok((address, gift)));
        for (body, reason) in [
            ("{", "bad json"),
            (r#"{"address":"x","usdc":1}"#, "bad address"),
            (r#"{"address":"A","usdc":-1}"#, "bad json"),
            (r#"{"address":"A","eur":1}"#, "bad json"),
            (r#"{"address":"A"}"#, "nothing asked for"),
            (r#"{"address":"A","lamports":100000000001}"#, "bad lamports"),
            (r#"{"address":"A","usdt":1000000000001}"#, "bad usdt"),
        ] {
            let body = body.replace("\"A\"", &format!("\"{address}\""));
            let error = read(body.as_bytes()).expect_err("refused");
            assert!(error.starts_with(reason), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_is_there_when_the_answer_comes() {
        let chain = Chain::local().await.expect("it starts");
        let faucet = Faucet::start(chain.clone()).await.expect("it starts");
        let ask = async |body: Value| {
            let client = reqwest::Client::builder().no_proxy().build();
            let url = format!("{}/faucet", faucet.url());
            let sent = client.expect("a client").post(url).json(&body).send().await;
            let answer = sent.expect("an answer");
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.expect("JSON"))
        };
        let address = Pubkey::new_unique();
        let wish = json!({"address": address.to_string(), "lamports": 1_000_000, "usdt": 5});
        let (status, answer) = ask(wish).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["signatures"].as_array().map(Vec::len), Some(1));
        let rpc = chain.rpc();
        assert_eq!(rpc.balance(&address).await.expect("known"), 1_000_000);
        let account = chain.usdt().account_of(&address);
        assert_eq!(rpc.token_balance(&account).await.expect("known"), Some(5));

        let (status, answer) = ask(json!({"address": "x"})).await;
        assert_eq!((status, answer["error"].is_string()), (400, true));
        // Too little for an account to exist: the chain itself refuses.
        let poor = Pubkey::new_unique().to_string();
        let (status, answer) = ask(json!({"address": poor, "lamports": 1})).await;
        assert_eq!(status, 502, "{answer}");
    }
}
