//! Whether to have a chain of our own or to use somebody's validator.

use std::env;

use reqwest::Url;

use super::ChainError;

/// Says where JSON-RPC of a validator is; several are separated by commas.
pub const RPC_URL: &str = "SOLANA_RPC_URL";
/// Says where subscriptions of a validator are; by default on the port after that of JSON-RPC.
pub const WS_URL: &str = "SOLANA_WS_URL";

/// Where the chain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Ours, to be started.
    Local,
    /// A validator that runs already.
    External {
        /// JSON-RPC.
        rpc_url: String,
        /// Subscriptions.
        ws_url: String,
    },
}

impl Location {
    /// The validator that the environment names, unless it is the local chain of an earlier start
    /// (`own`), which a shell that has read `.dev/env` still names.
    pub fn from_environment(own: Option<&str>) -> Result<Self, ChainError> {
        let named = |variable| {
            let value = env::var(variable).unwrap_or_default();
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        Self::choose(named(RPC_URL), named(WS_URL), own)
    }

    fn choose(
        rpc_url: Option<String>,
        ws_url: Option<String>,
        own: Option<&str>,
    ) -> Result<Self, ChainError> {
        match rpc_url {
            Some(rpc_url) if own != Some(rpc_url.as_str()) => Ok(Self::External {
                ws_url: ws_url.map_or_else(|| beside(&rpc_url), Ok)?,
                rpc_url,
            }),
            _ => Ok(Self::Local),
        }
    }
}

/// The first of several URLs.
pub(super) fn first(rpc_urls: &str) -> &str {
    rpc_urls.split(',').next().unwrap_or_default().trim()
}

/// Where validators have their subscriptions when nobody says otherwise.
fn beside(rpc_urls: &str) -> Result<String, ChainError> {
    let not_a_url = || ChainError::NotAUrl(rpc_urls.to_owned());
    let mut url = Url::parse(first(rpc_urls)).map_err(|_| not_a_url())?;
    let scheme = match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => return Err(not_a_url()),
    };
    let next = url.port().map(|port| port.saturating_add(1));
    url.set_scheme(scheme)
        .and_then(|()| url.set_port(next))
        .map_err(|()| not_a_url())?;
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "http://127.0.0.1:12345";

    fn chosen(rpc_url: Option<&str>, ws_url: Option<&str>) -> Location {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Location::choose(owned(rpc_url), owned(ws_url), Some(OWN)).expect("URLs")
    }

    #[test]
    fn our_own_chain_of_an_earlier_start_is_no_validator() {
        assert_eq!(chosen(None, Some("ws://x/")), Location::Local);
        assert_eq!(chosen(Some(OWN), Some("ws://x/")), Location::Local);
        assert!(matches!(
            chosen(Some("http://127.0.0.1:8899"), None),
            Location::External { .. }
        ));
    }

    #[test]
    fn subscriptions_are_on_the_next_port_unless_told() {
        for (rpc_url, ws_url) in [
            ("http://127.0.0.1:8899", "ws://127.0.0.1:8900/"),
            (
                "https://api.devnet.solana.com",
                "wss://api.devnet.solana.com/",
            ),
            ("http://a:1/,http://b:5/", "ws://a:2/"),
        ] {
            assert_eq!(beside(rpc_url).expect("a URL"), ws_url);
        }
        assert!(beside("127.0.0.1:8899").is_err());
        let told = chosen(Some("http://127.0.0.1:8899"), Some("ws://elsewhere:1"));
        let Location::External { ws_url, .. } = told else {
            panic!("a validator");
        };
        assert_eq!(ws_url, "ws://elsewhere:1");
    }
}
