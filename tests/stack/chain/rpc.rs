//! The JSON-RPC of a Solana node, as far as tests and the stack need it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest_tls::{Client, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Setup(reqwest_tls::Error),
    /// The node gave no answer.
    #[error(
        "the Solana node at {url} gave no answer to {method}: {}",
        causes(source)
    )]
    NoAnswer {
        /// Where it should be.
        url: String,
        /// What was called.
        method: &'static str,
        /// What went wrong.
        source: reqwest_tls::Error,
    },
    /// The node wants fewer calls.
    #[error("the Solana node at {0} refuses further calls for now (429); wait, or use another one")]
    TooMany(String),
    /// The node refused.
    #[error("{method} was refused with code {code}: {message} {data}")]
    Refused {
        /// What was called.
        method: &'static str,
        /// Solana's number of the error.
        code: i64,
        /// What the node said.
        message: String,
        /// Further details; null when there are none.
        data: Value,
    },
    /// The answer had another shape than expected.
    #[error("{method} was answered with something unexpected: {source}")]
    Shape {
        /// What was called.
        method: &'static str,
        /// What was missing.
        source: serde_json::Error,
    },
}

/// reqwest's own message leaves the cause out.
fn causes(error: &reqwest_tls::Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    message
}

/// How sure a node is of what it says, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Commitment {
    /// Executed by this node.
    Processed,
    /// Voted for by most.
    Confirmed,
    /// For ever.
    Finalized,
}

/// A recent block, which makes a transaction valid for a while.
#[derive(Debug, Clone)]
pub struct RecentBlock {
    /// What a transaction names.
    pub blockhash: Hash,
    /// The last block height in which such a transaction may land.
    pub last_valid_height: u64,
}

/// What a node knows of a signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The slot in which it landed.
    pub slot: u64,
    /// Why it failed; null when it did not.
    pub err: Value,
    /// How sure this is.
    pub confirmation_status: Commitment,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct WithContext<T> {
    value: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LatestBlockhash {
    blockhash: String,
    last_valid_block_height: u64,
}

#[derive(Deserialize)]
struct Account {
    owner: String,
}

#[derive(Deserialize)]
struct TokenAmount {
    amount: String,
}

/// A client of one node.
#[derive(Debug, Clone)]
pub struct Rpc {
    client: Client,
    url: String,
}

impl Rpc {
    /// A client of the node at the URL.
    pub fn new(url: &str) -> Result<Self, RpcError> {
        let client = Client::builder()
            // A proxy has no way to our loopback, and tests count on direct answers.
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .build();
        Ok(Self {
            client: client.map_err(RpcError::Setup)?,
            url: url.to_owned(),
        })
    }

    /// Where the node is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls any method.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        let no_answer = |source: reqwest_tls::Error| RpcError::NoAnswer {
            url: self.url.clone(),
            method,
            // The URL may hold an access key.
            source: source.without_url(),
        };
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let sent = self.client.post(&self.url).json(&body).send().await;
        let response = sent.map_err(no_answer)?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(RpcError::TooMany(self.url.clone()));
        }
        let reply: Reply = response.json().await.map_err(no_answer)?;
        if let Some(refusal) = reply.error {
            return Err(RpcError::Refused {
                method,
                code: refusal.code,
                message: refusal.message,
                data: refusal.data,
            });
        }
        serde_json::from_value(reply.result).map_err(|source| RpcError::Shape { method, source })
    }

    async fn value<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        let answer: WithContext<T> = self.call(method, params).await?;
        Ok(answer.value)
    }

    /// Fails unless the node says that it is healthy.
    pub async fn check_health(&self) -> Result<(), RpcError> {
        self.call::<Value>("getHealth", json!([])).await.map(drop)
    }

    /// The slot that the node is in.
    pub async fn slot(&self, commitment: Commitment) -> Result<u64, RpcError> {
        self.call("getSlot", json!([{"commitment": commitment}]))
            .await
    }

    /// The height that blockhashes expire by.
    pub async fn block_height(&self, commitment: Commitment) -> Result<u64, RpcError> {
        self.call("getBlockHeight", json!([{"commitment": commitment}]))
            .await
    }

    /// A block that transactions can name.
    pub async fn latest_blockhash(&self) -> Result<RecentBlock, RpcError> {
        const METHOD: &str = "getLatestBlockhash";
        let params = json!([{"commitment": Commitment::Confirmed}]);
        let latest: LatestBlockhash = self.value(METHOD, params).await?;
        Ok(RecentBlock {
            blockhash: parsed(METHOD, &latest.blockhash)?,
            last_valid_height: latest.last_valid_block_height,
        })
    }

    /// The lamports of an address.
    pub async fn balance(&self, address: &Pubkey) -> Result<u64, RpcError> {
        let params = json!([address.to_string(), {"commitment": Commitment::Confirmed}]);
        self.value("getBalance", params).await
    }

    /// The base units in a token account; none when there is no such account.
    pub async fn token_balance(&self, account: &Pubkey) -> Result<Option<u64>, RpcError> {
        const METHOD: &str = "getTokenAccountBalance";
        if self.owner(account).await?.is_none() {
            return Ok(None);
        }
        let params = json!([account.to_string(), {"commitment": Commitment::Confirmed}]);
        let amount: TokenAmount = self.value(METHOD, params).await?;
        parsed(METHOD, &amount.amount).map(Some)
    }

    /// The program that owns an account; none when there is no such account.
    pub async fn owner(&self, account: &Pubkey) -> Result<Option<Pubkey>, RpcError> {
        const METHOD: &str = "getAccountInfo";
        let config = json!({"commitment": Commitment::Confirmed, "encoding": "base64"});
        let account: Option<Account> = self
            .value(METHOD, json!([account.to_string(), config]))
            .await?;
        account
            .map(|account| parsed(METHOD, &account.owner))
            .transpose()
    }

    /// The least lamports that an account of this size must hold.
    pub async fn rent_exemption(&self, bytes: u64) -> Result<u64, RpcError> {
        self.call("getMinimumBalanceForRentExemption", json!([bytes]))
            .await
    }

    /// Asks the validator for lamports. They are there once the signature is confirmed.
    pub async fn request_airdrop(
        &self,
        address: &Pubkey,
        lamports: u64,
    ) -> Result<Signature, RpcError> {
        const METHOD: &str = "requestAirdrop";
        let params = json!([address.to_string(), lamports]);
        parsed(METHOD, &self.call::<String>(METHOD, params).await?)
    }

    /// Sends a transaction as it is, once: the node does not send it again by itself.
    pub async fn send(
        &self,
        transaction: &[u8],
        skip_preflight: bool,
    ) -> Result<Signature, RpcError> {
        const METHOD: &str = "sendTransaction";
        let config = json!({
            "encoding": "base64",
            "skipPreflight": skip_preflight,
            "preflightCommitment": Commitment::Confirmed,
            "maxRetries": 0,
        });
        let params = json!([BASE64_STANDARD.encode(transaction), config]);
        parsed(METHOD, &self.call::<String>(METHOD, params).await?)
    }

    /// What the node knows of a signature; none when it knows nothing.
    pub async fn status(&self, signature: &Signature) -> Result<Option<Status>, RpcError> {
        const METHOD: &str = "getSignatureStatuses";
        let params = json!([[signature.to_string()], {"searchTransactionHistory": true}]);
        let mut statuses: Vec<Option<Status>> = self.value(METHOD, params).await?;
        Ok(statuses.pop().flatten())
    }

    /// A transaction as the node tells it, its bytes in base64; null when it knows none.
    pub async fn transaction(
        &self,
        signature: &Signature,
        commitment: Commitment,
    ) -> Result<Value, RpcError> {
        let config = json!({
            "encoding": "base64",
            "commitment": commitment,
            "maxSupportedTransactionVersion": 1,
        });
        self.call("getTransaction", json!([signature.to_string(), config]))
            .await
    }
}

/// Reads what JSON carries as text.
fn parsed<T>(method: &'static str, text: &str) -> Result<T, RpcError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    use serde::de::Error;
    text.parse().map_err(|error| RpcError::Shape {
        method,
        source: serde_json::Error::custom(format!("`{text}`: {error}")),
    })
}
