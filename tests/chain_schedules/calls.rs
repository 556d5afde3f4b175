//! Lines to nodes that remember who answered about which transaction.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use fault_kit::{DirectLine, RpcMethod};
use serde_json::Value;
use solana_rpc_client::rpc_sender::{RpcSender, RpcTransportStats};
use solana_rpc_client_api::client_error::Error as ClientError;
use solana_rpc_client_api::request::RpcRequest;

/// Which node (by its number) has answered about which transaction.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<BTreeSet<(usize, String)>>>);

impl Answers {
    /// Nobody has said anything yet.
    pub fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// What others have heard counts, too.
    pub fn join(&self, others: &Self) {
        let heard = others.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        own.extend(heard.iter().cloned());
    }

    /// The nodes that have answered about a transaction.
    pub fn about(&self, signature: &str) -> Vec<usize> {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = answered.iter().filter(|(_, about)| about == signature);
        of_it.map(|(node, _)| *node).collect()
    }

    fn note(&self, node: usize, signature: &str) {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.insert((node, signature.to_owned()));
    }
}

/// A line whose answers are noted.
pub struct NotedLine {
    /// The node's number.
    pub node: usize,
    /// The line itself.
    pub line: DirectLine,
    /// Where they are noted.
    pub answers: Answers,
}

impl NotedLine {
    async fn ask(&self, request: RpcRequest, params: Value) -> Result<Value, ClientError> {
        let method = request.to_string();
        let answer = self.line.send(request, params.clone()).await?;
        if method == RpcMethod::GetTransaction.name() && !answer.is_null() {
            self.answers
                .note(self.node, params[0].as_str().unwrap_or_default());
        }
        if method == RpcMethod::GetSignatureStatuses.name() {
            let asked = params[0].as_array().into_iter().flatten();
            let told = answer["value"].as_array().into_iter().flatten();
            for (signature, status) in asked.zip(told) {
                if status.is_object() {
                    self.answers
                        .note(self.node, signature.as_str().unwrap_or_default());
                }
            }
        }
        Ok(answer)
    }
}

impl RpcSender for NotedLine {
    fn send<'life, 'future>(
        &'life self,
        request: RpcRequest,
        params: Value,
    ) -> Pin<Box<dyn Future<Output = Result<Value, ClientError>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(self.ask(request, params))
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    fn url(&self) -> String {
        self.line.url()
    }
}
