//! The operator API, as an operator calls it.

use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::{ClientError, call_of, http_client, send};

/// What a browser would hold after signing in.
#[derive(Debug, Clone, Deserialize)]
pub struct SessionTokens {
    /// The content of the cookie `nl_session`.
    pub session: String,
    /// The content of the cookie `nl_csrf`.
    pub csrf: String,
    /// When the session ends (RFC 3339).
    pub expires_at: String,
}

#[derive(Deserialize)]
struct CreatedUser {
    user_id: Uuid,
}

/// The outcome of an adjustment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Adjusted {
    /// The ledger entry.
    pub entry_id: i64,
    /// The balance after it.
    pub new_balance_micro: i64,
}

/// An operator with a token.
#[derive(Debug, Clone)]
pub struct Operator {
    client: Client,
    url: String,
    token: String,
}

impl Operator {
    /// An operator who calls the api process at the URL.
    pub fn new(url: &str, token: &str) -> Result<Self, ClientError> {
        Ok(Self {
            client: http_client()?,
            url: url.to_owned(),
            token: token.to_owned(),
        })
    }

    /// The same operator, calling another api process.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// Any call of the operator API, with its token.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let call = call_of(&method, path);
        let request = self.client.request(method, format!("{}{path}", self.url));
        send(request.bearer_auth(&self.token), call, body).await
    }

    /// Creates a user.
    pub async fn create_user(&self) -> Result<Uuid, ClientError> {
        let path = "/ops/v1/users";
        let answer = self.raw(Method::POST, path, Some(&json!({}))).await?;
        Ok(answer.parse::<CreatedUser>(201, path)?.user_id)
    }

    /// Signs a user in.
    pub async fn create_session(&self, user: Uuid) -> Result<SessionTokens, ClientError> {
        let path = format!("/ops/v1/users/{user}/sessions");
        self.raw(Method::POST, &path, Some(&json!({})))
            .await?
            .parse(201, &path)
    }

    /// Changes a user's balance. The same key again changes nothing and answers the same.
    pub async fn adjust(
        &self,
        user: Uuid,
        delta_micro: i64,
        reason: &str,
        idempotency_key: &str,
    ) -> Result<Adjusted, ClientError> {
        let path = format!("/ops/v1/users/{user}/adjustments");
        let body = json!({
            "delta_micro": delta_micro,
            "reason": reason,
            "idempotency_key": idempotency_key,
        });
        self.raw(Method::POST, &path, Some(&body))
            .await?
            .parse(200, &path)
    }

    /// Freezes a user's balance.
    pub async fn lock(&self, user: Uuid) -> Result<Answer, ClientError> {
        self.raw(
            Method::POST,
            &format!("/ops/v1/users/{user}/lock"),
            Some(&json!({})),
        )
        .await
    }

    /// Frees a user's balance.
    pub async fn unlock(&self, user: Uuid) -> Result<Answer, ClientError> {
        self.raw(
            Method::POST,
            &format!("/ops/v1/users/{user}/unlock"),
            Some(&json!({})),
        )
        .await
    }

    /// The audit: `{ok, checks}`.
    pub async fn audit(&self) -> Result<Value, ClientError> {
        self.raw(Method::GET, "/ops/v1/audit", None)
            .await?
            .parse(200, "/ops/v1/audit")
    }

    /// The queues.
    pub async fn queues(&self) -> Result<Value, ClientError> {
        self.raw(Method::GET, "/ops/v1/queues", None)
            .await?
            .parse(200, "/ops/v1/queues")
    }
}
