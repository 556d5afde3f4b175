//! What the settings of the chain and of the watcher must satisfy.

use secrecy::ExposeSecret as _;

use super::{Process, is_key, require};
use crate::config::{Config, ConfigError, variable_of};
use crate::money::AMOUNT_MAX;

pub(super) fn check(process: Process, config: &Config) -> Result<(), ConfigError> {
    check_nodes(process, config)?;
    check_positive(config)?;
    check_limits(config)?;
    check_price(config)
}

fn check_nodes(process: Process, config: &Config) -> Result<(), ConfigError> {
    let chain = &config.chain;
    let is_watcher = process == Process::Watcher;
    require(
        !is_watcher || chain.rpc_urls().next().is_some(),
        "solana_rpc_url",
        "is required by the watcher: set it to a Solana node such as http://127.0.0.1:8899",
    )?;
    require(
        !is_watcher || !config.billing.solana_deposit_address.is_empty(),
        "solana_deposit_address",
        "is required by the watcher: set it to the address that payments go to",
    )?;
    require(
        chain
            .rpc_urls()
            .all(|url| url.starts_with("http://") || url.starts_with("https://")),
        "solana_rpc_url",
        "must list URLs such as https://api.mainnet-beta.solana.com, separated by commas",
    )?;
    require(
        chain
            .ws_url()
            .is_none_or(|url| url.starts_with("ws://") || url.starts_with("wss://")),
        "solana_ws_url",
        "must look like wss://api.mainnet-beta.solana.com",
    )?;
    require(
        chain.solana_beacon_key.is_empty() || is_key(&chain.solana_beacon_key),
        "solana_beacon_key",
        "must be a public key (base58 of 32 bytes), or empty",
    )?;
    require(
        chain.solana_beacon_key.is_empty()
            || chain.solana_beacon_key != config.billing.solana_deposit_address,
        "solana_beacon_key",
        format!(
            "must be another key than {}",
            variable_of("solana_deposit_address")
        ),
    )?;
    require(
        matches!(
            chain.solana_settle_commitment.as_str(),
            "finalized" | "confirmed"
        ),
        "solana_settle_commitment",
        "must be finalized or confirmed",
    )
}

fn check_positive(config: &Config) -> Result<(), ConfigError> {
    let (chain, watcher, billing) = (&config.chain, &config.watcher, &config.billing);
    let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let positive = [
        ("solana_rpc_timeout_ms", chain.solana_rpc_timeout_ms),
        ("solana_agreement", wide(chain.solana_agreement)),
        ("solana_node_absent_ms", chain.solana_node_absent_ms),
        ("watch_gone_rounds", u64::from(watcher.watch_gone_rounds)),
        ("relay_concurrency", wide(chain.relay_concurrency)),
        ("relay_handler_timeout_ms", chain.relay_handler_timeout_ms),
        ("relay_resend_interval_ms", chain.relay_resend_interval_ms),
        (
            "relay_attempts_max",
            chain.relay_attempts_max.max(0).unsigned_abs(),
        ),
        (
            "submissions_per_invoice_per_hour",
            chain.submissions_per_invoice_per_hour.max(0).unsigned_abs(),
        ),
        ("inapp_blockhash_cache_ms", chain.inapp_blockhash_cache_ms),
        ("inapp_account_cache_ms", chain.inapp_account_cache_ms),
        (
            "inapp_missing_account_cache_ms",
            chain.inapp_missing_account_cache_ms,
        ),
        ("watch_poll_interval_ms", watcher.watch_poll_interval_ms),
        ("watch_silence_ms", watcher.watch_silence_ms),
        ("watch_lease_ms", watcher.watch_lease_ms),
        ("watch_concurrency", wide(watcher.watch_concurrency)),
        (
            "watch_finality_interval_ms",
            watcher.watch_finality_interval_ms,
        ),
        (
            "sol_price_feed_interval_ms",
            billing.sol_price_feed_interval_ms,
        ),
        (
            "sol_price_feed_timeout_ms",
            billing.sol_price_feed_timeout_ms,
        ),
        ("sol_price_age_max_ms", billing.sol_price_age_max_ms),
    ];
    positive
        .iter()
        .try_for_each(|(setting, value)| require(*value > 0, setting, "must be more than 0"))
}

fn check_limits(config: &Config) -> Result<(), ConfigError> {
    let chain = &config.chain;
    let relay = [
        (
            "relay_handler_timeout_ms",
            chain.relay_handler_timeout_ms,
            "queue_visibility_timeout_ms",
            config.queue.queue_visibility_timeout_ms,
        ),
        (
            "relay_handler_timeout_ms",
            chain.relay_handler_timeout_ms,
            "shutdown_timeout_ms",
            config.process.shutdown_timeout_ms,
        ),
        (
            "solana_rpc_timeout_ms",
            chain.solana_rpc_timeout_ms,
            "relay_handler_timeout_ms",
            chain.relay_handler_timeout_ms,
        ),
    ];
    let feed = (
        "sol_price_feed_interval_ms",
        config.billing.sol_price_feed_interval_ms,
        "sol_price_age_max_ms",
        config.billing.sol_price_age_max_ms,
    );
    // Without a chain nothing is relayed.
    let relays = chain.rpc_urls().next().is_some();
    relay
        .into_iter()
        .filter(|_| relays)
        .chain([feed])
        .try_for_each(|(small, value, large, limit)| {
            require(
                value < limit,
                small,
                format!("must be less than {}", variable_of(large)),
            )
        })
}

fn check_price(config: &Config) -> Result<(), ConfigError> {
    let billing = &config.billing;
    let url = billing.sol_price_feed_url.expose_secret();
    require(
        url.is_empty() || url.starts_with("http://") || url.starts_with("https://"),
        "sol_price_feed_url",
        "must be an HTTP URL, or empty",
    )?;
    let pointer = &billing.sol_price_feed_pointer;
    require(
        pointer.is_empty() || pointer.starts_with('/'),
        "sol_price_feed_pointer",
        "must be a JSON pointer such as /solana/usd",
    )?;
    require(
        (1..=AMOUNT_MAX).contains(&billing.sol_price_min_micro)
            && billing.sol_price_min_micro <= billing.sol_price_max_micro
            && billing.sol_price_max_micro <= AMOUNT_MAX,
        "sol_price_min_micro",
        format!(
            "must be at least 1 and at most {}",
            variable_of("sol_price_max_micro")
        ),
    )
}
