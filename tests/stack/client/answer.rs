//! An HTTP answer, read to its end.

use reqwest::Response;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ClientError;

/// What a call was answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null when it is empty or is not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Result<Self, reqwest::Error> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self {
            status,
            headers,
            body,
            text,
        })
    }

    /// The string that the body's `error` holds; empty when there is none.
    #[must_use]
    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    /// Checks the status.
    pub fn expect_status(self, status: u16, call: &str) -> Result<Self, ClientError> {
        if self.status == status {
            return Ok(self);
        }
        Err(ClientError::Unwanted {
            call: call.to_owned(),
            answer: Box::new(self),
        })
    }

    /// Checks the status and reads the body.
    pub fn parse<T: DeserializeOwned>(self, status: u16, call: &str) -> Result<T, ClientError> {
        let answer = self.expect_status(status, call)?;
        serde_json::from_str(&answer.text).map_err(|source| ClientError::Shape {
            call: call.to_owned(),
            answer: Box::new(answer),
            source,
        })
    }
}
