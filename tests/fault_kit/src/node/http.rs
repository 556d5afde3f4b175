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
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::RpcFailure;
use super::core::Core;
use super::dispatch::{Dropped, Outcome, envelope, handle};
use super::failure::PARSE_ERROR;

/// The connection goes away without an answer.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error(transparent)]
    Dropped(#[from] Dropped),
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
                match served(core, &request).await? {
                    Outcome::Answer(answer) => answers.push(answer),
                    other => return Ok(other.into_response()),
                }
            }
            Outcome::Answer(Value::Array(answers))
        }
        Ok(request) => served(core, &request).await?,
        Err(_) => {
            let failure = RpcFailure::new(PARSE_ERROR, "Parse error");
            Outcome::Answer(envelope(&Value::Null, Err(failure)))
        }
    };
    Ok(outcome.into_response())
}

async fn served(core: &Core, request: &Value) -> Result<Outcome, Gone> {
    match handle(core, request).await? {
        Some(outcome) => Ok(outcome),
        None => pending().await,
    }
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
