//! Nodes behind whatever transport their clients have.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use solana_rpc_client::nonblocking::rpc_client::RpcClient;

use super::{Node, Nodes};
use crate::config::ChainConfig;

impl Nodes {
    /// The nodes that these clients lead to, in this order; `None` without any.
    #[must_use]
    pub fn from_clients(clients: Vec<RpcClient>, config: &ChainConfig) -> Option<Self> {
        let node = |(place, client)| Node {
            label: format!("node {}", place + 1),
            client,
            timeout: Duration::from_millis(config.solana_rpc_timeout_ms),
            cooldown: Duration::from_millis(config.solana_node_cooldown_ms),
            rest: Mutex::new(None),
        };
        let nodes: Vec<Node> = clients.into_iter().enumerate().map(node).collect();
        (!nodes.is_empty()).then(|| Self(Arc::new(nodes)))
    }
}
