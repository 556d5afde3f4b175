//! What becomes of a request, whatever it came by.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::core::Core;
use super::fault::Reply;
use super::{RpcFailure, RpcMethod, methods};

/// The test drops the connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the test drops the connection")]
pub struct Dropped;

/// What goes back.
pub enum Outcome {
    /// An answer of JSON-RPC.
    Answer(Value),
    /// An HTTP status, with `Retry-After` in seconds.
    Status(StatusCode, Option<u64>),
    /// No JSON.
    Garbage(String),
}

/// What becomes of a request; none when nothing ever does.
pub async fn handle(core: &Core, request: &Value) -> Result<Option<Outcome>, Dropped> {
    let id = &request["id"];
    let name = request["method"].as_str().unwrap_or_default();
    let params = &request["params"];
    let call = core.record(name, params.clone(), None);
    let answer = |result| Ok(Some(Outcome::Answer(envelope(id, result))));
    let method = RpcMethod::named(name);
    match (core.decide(&call).await, method) {
        (Reply::Hang, _) => Ok(None),
        (Reply::Disconnect, _) => Err(Dropped),
        (Reply::Garbage(text), _) => Ok(Some(Outcome::Garbage(text))),
        (
            Reply::Http {
                status,
                retry_after,
            },
            _,
        ) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            Ok(Some(Outcome::Status(status, retry_after)))
        }
        (Reply::Error(failure), _) => answer(Err(failure)),
        (Reply::Value(value), _) => answer(Ok(value)),
        (Reply::Null, Some(method)) => answer(Ok(methods::nothing(core, method, params))),
        (Reply::PassThrough | Reply::Delay(_), Some(method)) => {
            answer(methods::answer(core, method, params))
        }
        (_, None) => answer(Err(RpcFailure::method_not_found())),
    }
}

/// A JSON-RPC answer.
pub fn envelope(id: &Value, result: Result<Value, RpcFailure>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "result": result, "id": id }),
        Err(failure) => json!({ "jsonrpc": "2.0", "error": failure.to_json(), "id": id }),
    }
}
