//! HTTP clients for tests and for the demonstration.

pub mod answer;
pub mod console;
mod frame_parser;
pub mod frames;
pub mod operator;

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use self::answer::Answer;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longer than the api waits for a worker, so that its own answer arrives first.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// Why a call failed before its answer could be judged, or what the answer was that nobody wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The call got no answer.
    #[error("{call} got no answer: {}", chain(source))]
    NoAnswer {
        /// Method and path.
        call: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The answer was another one than the caller needs.
    #[error("{call} answered {}: {}", answer.status, answer.text)]
    Unwanted {
        /// Method and path.
        call: String,
        /// The answer.
        answer: Box<Answer>,
    },
    /// The answer had another shape than the caller needs.
    #[error("{call} answered {}, which is not as expected: {source}", answer.text)]
    Shape {
        /// Method and path.
        call: String,
        /// The answer.
        answer: Box<Answer>,
        /// What was missing.
        source: serde_json::Error,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Setup(reqwest::Error),
    /// A stream was cut off.
    #[error("the stream was cut off: {}", chain(.0))]
    Cut(reqwest::Error),
    /// A stream was silent for too long.
    #[error("the stream was silent for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// A stream said something that is no event.
    #[error("the stream sent an event `{event}` whose data is not JSON: {data}")]
    NotJson {
        /// The event's name.
        event: String,
        /// Its data.
        data: String,
    },
}

/// reqwest's own message leaves the cause out.
fn chain(error: &reqwest::Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    message
}

fn http_client() -> Result<Client, ClientError> {
    Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .build()
        .map_err(ClientError::Setup)
}

/// Sends a request with an optional JSON body and reads the whole answer.
async fn send(
    request: RequestBuilder,
    call: String,
    body: Option<&Value>,
) -> Result<Answer, ClientError> {
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    let answer = async { Answer::read(request.timeout(ANSWER_LIMIT).send().await?).await };
    answer
        .await
        .map_err(|source| ClientError::NoAnswer { call, source })
}

fn call_of(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}
