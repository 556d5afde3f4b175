//! Solana nodes: every call bounded, one that fails is asked last for a while, errors without their URLs (which may
//! hold access keys).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::liveness::{Front, Liveness};
use super::queries::Commitment;

use futures::future::{join, join_all};
use serde::de::DeserializeOwned;
use serde_json::Value;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::client_error::{Error as ClientError, ErrorKind};
use solana_rpc_client_api::custom_error::{
    JSON_RPC_SERVER_ERROR_BLOCK_NOT_AVAILABLE,
    JSON_RPC_SERVER_ERROR_BLOCK_STATUS_NOT_AVAILABLE_YET,
    JSON_RPC_SERVER_ERROR_FILTER_TRANSACTION_NOT_FOUND,
    JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED, JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY,
    JSON_RPC_SERVER_ERROR_SLOT_SKIPPED, JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION,
};
use solana_rpc_client_api::request::{RpcError, RpcRequest};
use tokio::sync::SetOnce;
use tokio::time::{sleep_until, timeout};

use crate::config::ChainConfig;

/// Answers that another node, or the same one a moment later, may not give.
const PASSING: [i64; 5] = [
    JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY,
    JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED,
    JSON_RPC_SERVER_ERROR_BLOCK_NOT_AVAILABLE,
    JSON_RPC_SERVER_ERROR_SLOT_SKIPPED,
    JSON_RPC_SERVER_ERROR_BLOCK_STATUS_NOT_AVAILABLE_YET,
];

/// Refusals that say something about what was asked for.
const ANSWERS: [i64; 2] = [
    JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION,
    JSON_RPC_SERVER_ERROR_FILTER_TRANSACTION_NOT_FOUND,
];

/// How much later than the first one a node that did not answer in time lately may take a transaction.
const GRACE: Duration = Duration::from_millis(250);

/// Why a node gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It said no, and would say so again.
    #[error("the node answered {code}: {message}")]
    Refused {
        /// JSON-RPC code.
        code: i64,
        /// Its words.
        message: String,
    },
    /// Whether it did what was asked is open: no answer, throttled, unhealthy or behind.
    #[error("no Solana node answered ({0})")]
    Unavailable(String),
    /// It answered what this binary cannot read.
    #[error("the node's answer to {0} cannot be read")]
    Unreadable(String),
}

/// One node.
pub struct Node {
    label: String,
    client: RpcClient,
    timeout: Duration,
    cooldown: Duration,
    rest: Mutex<Option<Rest>>,
    liveness: Liveness,
}

/// What a node's last failure means for a while.
#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    /// It did not answer in time, rather than badly.
    is_silent: bool,
}

/// The nodes of a deployment, in the order of their configuration. Cheap to clone.
#[derive(Clone)]
pub struct Nodes(Arc<Net>);

struct Net {
    nodes: Vec<Node>,
    /// How many must say the same, if there are so many.
    agreement: usize,
}

impl Nodes {
    /// The configured nodes; `None` without any.
    #[must_use]
    pub fn new(config: &ChainConfig) -> Option<Self> {
        let timeout = Duration::from_millis(config.solana_rpc_timeout_ms);
        let clients = config
            .rpc_urls()
            .map(|url| RpcClient::new_with_timeout(url.to_owned(), timeout));
        Self::from_clients(clients.collect(), config)
    }

    /// Nodes behind these clients; `None` without any.
    #[must_use]
    pub fn from_clients(clients: Vec<RpcClient>, config: &ChainConfig) -> Option<Self> {
        let front = Front::default();
        let node = |(place, client)| Node {
            label: format!("node {}", place + 1),
            client,
            timeout: Duration::from_millis(config.solana_rpc_timeout_ms),
            cooldown: Duration::from_millis(config.solana_node_cooldown_ms),
            rest: Mutex::new(None),
            liveness: Liveness::new(
                Duration::from_millis(config.solana_node_absent_ms),
                Arc::clone(&front),
            ),
        };
        let nodes: Vec<Node> = clients.into_iter().enumerate().map(node).collect();
        let agreement = config.solana_agreement.min(nodes.len());
        (!nodes.is_empty()).then(|| Self(Arc::new(Net { nodes, agreement })))
    }

    /// Each node.
    pub fn each(&self) -> impl Iterator<Item = &Node> {
        self.0.nodes.iter()
    }

    /// How many nodes must say the same before money settles: the setting, or all that are configured.
    #[must_use]
    pub fn agreement(&self) -> usize {
        self.0.agreement
    }

    /// How many must say the same now that some have been of no use for too long: all the others, if they are fewer.
    #[must_use]
    pub fn agreement_now(&self) -> usize {
        let useful = self.each().filter(|node| !node.is_left_out()).count();
        self.0.agreement.min(useful).max(1)
    }

    /// All nodes, those that failed lately last.
    pub(super) fn in_order(&self) -> Vec<&Node> {
        let mut order: Vec<&Node> = self.each().collect();
        order.sort_by_key(|node| node.rest().is_some());
        order
    }

    /// Tells all nodes something at once. Once one has taken it, those that hung lately are waited for only a moment
    /// longer. Not for questions whose answers are held against each other: there each node has its whole time.
    pub async fn tell_each<'a, T, F: Future<Output = Result<T, NodeError>>>(
        &'a self,
        tell: impl Fn(&'a Node) -> F,
    ) -> Vec<(&'a Node, Result<T, NodeError>)> {
        let answered_at = SetOnce::new();
        let told = self.each().map(|node| {
            let is_silent = node.rest().is_some_and(|rest| rest.is_silent);
            let answer = tell(node);
            let answered_at = &answered_at;
            async move {
                let too_late = async {
                    sleep_until(*answered_at.wait().await + GRACE).await;
                };
                let answer = tokio::select! {
                    answer = answer => answer,
                    () = too_late, if is_silent => {
                        node.count_failure();
                        Err(node.silent())
                    }
                };
                if answer.is_ok() {
                    // Only the first answer counts.
                    let _ = answered_at.set(tokio::time::Instant::now());
                }
                (node, answer)
            }
        });
        join_all(told).await
    }

    /// Asks one node after the other until one gives a result. If none does, a refusal is told rather than that
    /// another one did not answer.
    pub async fn call<T: DeserializeOwned>(
        &self,
        request: RpcRequest,
        params: Value,
    ) -> Result<T, NodeError> {
        let mut last = NodeError::Unavailable("none is configured".to_owned());
        for node in self.in_order() {
            match node.call(request, params.clone()).await {
                Ok(result) => return Ok(result),
                Err(error) if !matches!(last, NodeError::Refused { .. }) => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

impl Node {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether it has been of no use for so long that nobody waits for its word any more.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.liveness.is_left_out()
    }

    /// Whether to ask it for its word of this kind: one that is left out only now and then, to see whether it is of use
    /// again.
    #[must_use]
    pub fn is_asked(&self, request: RpcRequest) -> bool {
        self.liveness
            .is_asked(request, Instant::now(), self.cooldown)
    }

    /// Asks it again, if it is left out, how far it is and what it failed at: it is of use again as soon as it answers,
    /// whether or not anything new happens.
    pub async fn recheck(&self) {
        if !self.is_left_out() {
            return;
        }
        // What comes of it is noted.
        let unanswered = self.liveness.unanswered().into_iter();
        let again = unanswered
            .filter(|(request, _)| *request != RpcRequest::GetSlot)
            .map(|(request, params)| self.ask_again(request, params));
        let _ = join(self.slot(Commitment::Finalized), join_all(again)).await;
    }

    /// Notes how far it says to be: one that stands still is of no use, whatever it answers.
    pub(super) fn note_finalized(&self, slot: u64) {
        self.liveness.advanced(&self.label, slot, Instant::now());
    }

    fn rest(&self) -> Option<Rest> {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.filter(|rest| Instant::now() < rest.until)
    }

    fn count_failure(&self) {
        metrics::counter!("quittance_node_failures_total", "node" => self.label.clone())
            .increment(1);
    }

    fn silent(&self) -> NodeError {
        NodeError::Unavailable(format!("{} did not answer in time", self.label))
    }

    /// Asks this node.
    pub async fn call<T: DeserializeOwned>(
        &self,
        request: RpcRequest,
        params: Value,
    ) -> Result<T, NodeError> {
        // The client itself waits out a throttling for minutes.
        let question = params.clone();
        let answer = timeout(self.timeout, self.client.send::<T>(request, params)).await;
        let (error, is_silent) = match answer {
            Ok(Ok(result)) => {
                self.liveness.answered(&self.label, request);
                return Ok(result);
            }
            Ok(Err(error)) => (classify(request, &error), is_timeout(&error)),
            Err(_) => (self.silent(), true),
        };
        match error {
            NodeError::Refused { code, .. } if ANSWERS.contains(&code) => {
                self.liveness.answered(&self.label, request);
            }
            // Limits are told in words of a provider's own, too.
            NodeError::Refused { .. } | NodeError::Unavailable(_) | NodeError::Unreadable(_) => {
                self.liveness
                    .failed(&self.label, request, question, Instant::now());
            }
        }
        if matches!(error, NodeError::Unavailable(_)) {
            self.count_failure();
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            *rest = Some(Rest {
                until: Instant::now() + self.cooldown,
                is_silent,
            });
        }
        Err(error)
    }
}

fn is_timeout(error: &ClientError) -> bool {
    matches!(error.kind(), ErrorKind::Reqwest(error) if error.is_timeout())
}

/// Sorts an error by what to do about it.
fn classify(request: RpcRequest, error: &ClientError) -> NodeError {
    match error.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => {
            if PASSING.contains(code) {
                NodeError::Unavailable(format!("{code}: {message}"))
            } else {
                NodeError::Refused {
                    code: *code,
                    message: message.clone(),
                }
            }
        }
        ErrorKind::Reqwest(error) => NodeError::Unavailable(match error.status() {
            Some(status) => format!("HTTP {}", status.as_u16()),
            None if error.is_timeout() => "timed out".to_owned(),
            None if error.is_connect() => "no connection".to_owned(),
            None => "the connection failed".to_owned(),
        }),
        ErrorKind::SerdeJson(_) => NodeError::Unreadable(request.to_string()),
        _ => NodeError::Unavailable("the connection failed".to_owned()),
    }
}
