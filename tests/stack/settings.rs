//! The settings that Quittance's processes get: only these, from an otherwise empty environment.

use std::collections::BTreeMap;
use std::env;

use crate::chain::{Chain, RPC_URL, WS_URL};

/// A loopback address on which a service chooses a free port itself.
pub const ANY_PORT: &str = "127.0.0.1:0";

/// A made-up price of one SOL, so that the rail `sol-native` is offered.
const SOL_PRICE_MICRO: &str = "150000000";

/// What processes must know of a chain.
#[derive(Debug, Clone)]
pub struct ChainSettings {
    /// Where JSON-RPC is.
    pub rpc_url: String,
    /// Where subscriptions are.
    pub ws_url: String,
    /// The mint of USDC.
    pub usdc_mint: String,
    /// The mint of USDT.
    pub usdt_mint: String,
    /// The key that all payments of the deployment name.
    pub beacon_key: String,
}

impl ChainSettings {
    /// The settings of processes that are paid on this chain.
    #[must_use]
    pub fn of(chain: &Chain, beacon_key: String) -> Self {
        Self {
            rpc_url: chain.rpc_url().to_owned(),
            ws_url: chain.ws_url().to_owned(),
            usdc_mint: chain.usdc_mint().to_string(),
            usdt_mint: chain.usdt_mint().to_string(),
            beacon_key,
        }
    }

    fn variables(&self) -> [(&'static str, &str); 5] {
        [
            (RPC_URL, &self.rpc_url),
            (WS_URL, &self.ws_url),
            ("QUITTANCE_USDC_MINT", &self.usdc_mint),
            ("QUITTANCE_USDT_MINT", &self.usdt_mint),
            ("QUITTANCE_SOLANA_BEACON_KEY", &self.beacon_key),
        ]
    }
}

/// What a deployment's processes share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the superuser finds the database: only for migrating.
    pub owner_url: String,
    /// Where api processes find the database.
    pub api_url: String,
    /// Where worker processes find the database.
    pub worker_url: String,
    /// Where watcher processes find the database.
    pub watcher_url: String,
    /// Where Redis is.
    pub redis_url: String,
    /// The start of all Redis keys and channels, so that deployments can share one Redis.
    pub redis_prefix: String,
    /// The token of the operator API.
    pub operator_token: String,
    /// Where on-chain payments go.
    pub deposit_address: String,
    /// The chain to pay on; none when nothing is to be paid there.
    pub chain: Option<ChainSettings>,
    /// Further settings, which win over all others.
    pub extra: BTreeMap<String, String>,
}

impl Settings {
    /// The environment of an api process.
    #[must_use]
    pub fn for_api(&self, listen: &str) -> BTreeMap<String, String> {
        self.environment(&self.api_url, "QUITTANCE_API_LISTEN", listen)
    }

    /// The environment of a worker process.
    #[must_use]
    pub fn for_worker(&self, listen: &str) -> BTreeMap<String, String> {
        self.environment(&self.worker_url, "QUITTANCE_WORKER_LISTEN", listen)
    }

    /// The environment of a watcher process.
    #[must_use]
    pub fn for_watcher(&self, listen: &str) -> BTreeMap<String, String> {
        self.environment(&self.watcher_url, "QUITTANCE_WATCHER_LISTEN", listen)
    }

    /// The environment of a command that changes the schema.
    #[must_use]
    pub fn for_owner(&self) -> BTreeMap<String, String> {
        self.environment(&self.owner_url, "QUITTANCE_WORKER_LISTEN", ANY_PORT)
    }

    fn environment(
        &self,
        database: &str,
        listen_key: &str,
        listen: &str,
    ) -> BTreeMap<String, String> {
        let mut environment: BTreeMap<String, String> = [
            ("DATABASE_URL", database),
            ("REDIS_URL", &self.redis_url),
            ("QUITTANCE_REDIS_PREFIX", &self.redis_prefix),
            (listen_key, listen),
            ("QUITTANCE_OPERATOR_TOKEN", &self.operator_token),
            ("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", &self.deposit_address),
            ("QUITTANCE_SOL_PRICE_MICRO", SOL_PRICE_MICRO),
            // The stack speaks plain HTTP.
            ("QUITTANCE_SESSION_COOKIE_SECURE", "false"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let of_chain = self.chain.iter().flat_map(ChainSettings::variables);
        environment.extend(of_chain.map(|(key, value)| (key.to_owned(), value.to_owned())));
        if cfg!(debug_assertions) {
            // Not optimised, one thread is so slow to start that the short times some tests give it are over.
            environment.insert("QUITTANCE_THREADS".to_owned(), "2".to_owned());
        }
        for inherited in ["PATH", "HOME"] {
            environment.extend(
                env::var(inherited)
                    .ok()
                    .map(|value| (inherited.to_owned(), value)),
            );
        }
        environment.extend(self.extra.clone());
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_gets_its_own_role_and_extras_win() {
        let text = str::to_owned;
        let mut settings = Settings {
            owner_url: text("owner"),
            api_url: text("api"),
            worker_url: text("worker"),
            watcher_url: text("watcher"),
            redis_url: text("redis"),
            redis_prefix: text("prefix"),
            operator_token: text("token"),
            deposit_address: text("address"),
            chain: None,
            extra: BTreeMap::from([(text("QUITTANCE_REDIS_PREFIX"), text("other"))]),
        };
        let api = settings.for_api(ANY_PORT);
        assert_eq!(api["DATABASE_URL"], "api");
        assert_eq!(api["QUITTANCE_REDIS_PREFIX"], "other");
        assert!(!api.contains_key("QUITTANCE_WORKER_LISTEN"));
        assert_eq!(settings.for_worker(ANY_PORT)["DATABASE_URL"], "worker");
        assert_eq!(settings.for_watcher(ANY_PORT)["DATABASE_URL"], "watcher");
        assert_eq!(settings.for_owner()["DATABASE_URL"], "owner");
        assert!(!api.contains_key("SOLANA_RPC_URL"));

        settings.chain = Some(ChainSettings {
            rpc_url: text("node"),
            ws_url: text("socket"),
            usdc_mint: text("usdc"),
            usdt_mint: text("usdt"),
            beacon_key: text("beacon"),
        });
        let api = settings.for_api(ANY_PORT);
        assert_eq!(api["SOLANA_RPC_URL"], "node");
        assert_eq!(api["QUITTANCE_USDT_MINT"], "usdt");
    }
}
