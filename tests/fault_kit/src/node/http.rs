//! JSON-RPC over HTTP.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::core::Core;
use super::failure::PARSE_ERROR;
use super::fault::Reply;
use super::{RpcFailure, RpcMethod, methods};

/// The connection goes away without an answer.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("the test drops the connection")]
    Dropped,
    #[error("the request broke off: {0}")]
    Request(#[from] hyper::Error),
}

/// Serves until it is dropped.
pub async fn serve(core: Arc<Core>, listener: TcpListener) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(Arc::clone(&core), stream));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Counts itself while it lives.
struct Counted(Arc<Core>);

impl Counted {
    fn new(core: Arc<Core>) -> Self {
        core.lock().connections += 1;
        core.stir();
        Self(core)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().connections -= 1;
        self.0.stir();
    }
}

async fn connection(core: Arc<Core>, stream: TcpStream) {
    let _counted = Counted::new(Arc::clone(&core));
    let service = service_fn(move |request| {
        let core = Arc::clone(&core);
        async move { respond(&core, request).await }
    });
    // It ends by an error whenever the client or the test drops it.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(core: &Core, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Gone> {
    let body = request.into_body().collect().await?.to_bytes();
    let outcome = match serde_json::from_slice(&body) {
        Ok(Value::Array(batch)) => {
            let mut answers = Vec::with_capacity(batch.len());
            for request in batch {
                match handle(core, &request).await? {
                    Outcome::Answer(answer) => answers.push(answer),
                    other => return Ok(other.into_response()),
                }
            }
            Outcome::Answer(Value::Array(answers))
        }
        Ok(request) => handle(core, &request).await?,
        Err(_) => {
            let failure = RpcFailure::new(PARSE_ERROR, "Parse error");
            Outcome::Answer(envelope(&Value::Null, Err(failure)))
        }
    };
    Ok(outcome.into_response())
}

/// What goes back.
enum Outcome {
    Answer(Value),
    Status(StatusCode, Option<u64>),
    Garbage(String),
}

impl Outcome {
    fn into_response(self) -> Response<Full<Bytes>> {
        let (status, retry_after, body) = match self {
            Self::Answer(answer) => (StatusCode::OK, None, answer.to_string()),
            Self::Garbage(text) => (StatusCode::OK, None, text),
            Self::Status(status, retry_after) => (status, retry_after, String::new()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

async fn handle(core: &Core, request: &Value) -> Result<Outcome, Gone> {
    let id = &request["id"];
    let name = request["method"].as_str().unwrap_or_default();
    let params = &request["params"];
    let call = core.record(name, params.clone(), None);
    let answer = |result| Ok(Outcome::Answer(envelope(id, result)));
    let method = RpcMethod::named(name);
    match (core.decide(&call).await, method) {
        (Reply::Hang, _) => pending().await,
        (Reply::Disconnect, _) => Err(Gone::Dropped),
        (Reply::Garbage(text), _) => Ok(Outcome::Garbage(text)),
        (
            Reply::Http {
                status,
                retry_after,
            },
            _,
        ) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            Ok(Outcome::Status(status, retry_after))
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
