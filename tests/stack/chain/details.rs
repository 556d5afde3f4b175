//! What test processes must be told of the test run's chain.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

use super::instructions::{TOKEN_DECIMALS, Token};
use super::location::first;
use super::rpc::Rpc;
use super::wallet::Wallet;
use super::{Chain, ChainError};

/// Where `stack test` describes the chain that the tests share (JSON).
pub const TEST_CHAIN: &str = "QUITTANCE_TEST_CHAIN";

/// A chain in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Details {
    /// Where JSON-RPC is.
    pub rpc_url: String,
    /// Where subscriptions are.
    pub ws_url: String,
    /// The mint of USDC.
    pub usdc_mint: String,
    /// The mint of USDT.
    pub usdt_mint: String,
    /// The secret key of the authority.
    pub authority: String,
}

impl Details {
    /// The words, for an environment variable.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl Chain {
    /// What another process needs to use this chain.
    #[must_use]
    pub fn details(&self) -> Details {
        Details {
            rpc_url: self.rpc_urls.clone(),
            ws_url: self.ws_url.clone(),
            usdc_mint: self.usdc.mint.to_string(),
            usdt_mint: self.usdt.mint.to_string(),
            authority: self.authority.secret(),
        }
    }

    /// The chain that another process has described as JSON, with a new treasury.
    pub async fn described(details: &str) -> Result<Self, ChainError> {
        let bad = |what: &str| ChainError::BadDetails(what.to_owned());
        let details: Details =
            serde_json::from_str(details).map_err(|error| bad(&error.to_string()))?;
        let token = |mint: &str| {
            let mint = Pubkey::from_str(mint).map_err(|error| bad(&error.to_string()))?;
            Ok::<Token, ChainError>(Token::spl(mint, TOKEN_DECIMALS))
        };
        let described = Self {
            rpc: Rpc::new(first(&details.rpc_url))?,
            usdc: token(&details.usdc_mint)?,
            usdt: token(&details.usdt_mint)?,
            authority: Wallet::from_secret(&details.authority)
                .ok_or_else(|| bad("the authority is no secret key"))?,
            rpc_urls: details.rpc_url,
            ws_url: details.ws_url,
            treasury: Wallet::random(),
            server: None,
        };
        described.with_new_treasury().await
    }
}
