//! Asking a node in the same process: the same answers and faults, without a network and without its time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};
use solana_rpc_client::rpc_sender::{RpcSender, RpcTransportStats};
use solana_rpc_client_api::client_error::{Error as ClientError, ErrorKind};
use solana_rpc_client_api::request::{RpcError, RpcRequest, RpcResponseErrorData};

use super::core::Core;
use super::dispatch::{Outcome, handle};

/// A line to a node, for clients of Solana's own (`RpcClient::new_sender`). What would hang ends at once, as if the
/// client's time were over; a client over HTTP waits out a 429, this one does not.
pub struct DirectLine {
    core: Arc<Core>,
}

impl DirectLine {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    async fn ask(&self, request: RpcRequest, params: Value) -> Result<Value, ClientError> {
        // Whoever gives up does so here, before and after the node has answered.
        tokio::task::yield_now().await;
        let asked = json!({ "id": 1, "method": request.to_string(), "params": params });
        let outcome = handle(&self.core, &asked).await;
        tokio::task::yield_now().await;
        match outcome {
            Ok(Some(Outcome::Answer(mut answer))) => match answer.get("error") {
                None => Ok(answer["result"].take()),
                Some(error) => Err(refused(error)),
            },
            Ok(Some(Outcome::Status(status, _))) => Err(lost(&format!("HTTP {}", status.as_u16()))),
            Ok(Some(Outcome::Garbage(_))) => Err(lost("not JSON")),
            Ok(None) => Err(lost("timed out")),
            Err(dropped) => Err(lost(&dropped.to_string())),
        }
    }
}

fn lost(why: &str) -> ClientError {
    ErrorKind::Custom(why.to_owned()).into()
}

fn refused(error: &Value) -> ClientError {
    RpcError::RpcResponseError {
        code: error["code"].as_i64().unwrap_or_default(),
        message: error["message"].as_str().unwrap_or_default().to_owned(),
        data: RpcResponseErrorData::Empty,
    }
    .into()
}

impl RpcSender for DirectLine {
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
        "direct".to_owned()
    }
}
