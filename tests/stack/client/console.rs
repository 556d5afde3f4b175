//! The console API, as a signed-in browser calls it.

use reqwest::header::{ACCEPT, COOKIE};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::frames::Frames;
use super::operator::SessionTokens;
use super::{ANSWER_LIMIT, ClientError, call_of, http_client, send};

/// A signed-in user.
#[derive(Debug, Clone)]
pub struct Console {
    client: Client,
    url: String,
    user_id: Uuid,
    tokens: SessionTokens,
}

impl Console {
    /// A user who calls the api process at the URL.
    pub fn new(url: &str, user_id: Uuid, tokens: SessionTokens) -> Result<Self, ClientError> {
        Ok(Self {
            client: http_client()?,
            url: url.to_owned(),
            user_id,
            tokens,
        })
    }

    /// The same user and session, calling another api process.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// Who is signed in.
    #[must_use]
    pub fn user_id(&self) -> Uuid {
        self.user_id
    }

    /// The session's tokens.
    #[must_use]
    pub fn tokens(&self) -> &SessionTokens {
        &self.tokens
    }

    fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method.clone(), format!("{}{path}", self.url));
        let SessionTokens { session, csrf, .. } = &self.tokens;
        if *method == Method::GET {
            return request.header(COOKIE, format!("nl_session={session}"));
        }
        request
            .header(COOKIE, format!("nl_session={session}; nl_csrf={csrf}"))
            .header("X-CSRF-Token", csrf)
    }

    /// Any call, with the session's cookies.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        send(self.request(&method, path), call_of(&method, path), body).await
    }

    /// Asks for the unsigned transaction that pays an invoice from this wallet.
    pub async fn build_inapp_tx(&self, id: &str, payer: &str) -> Result<Answer, ClientError> {
        let path = format!("/v1/billing/invoices/{id}/inapp/build");
        let body = json!({ "payer": payer });
        self.raw(Method::POST, &path, Some(&body)).await
    }

    /// Hands over what a wallet signed (`signed_b64`), or the signature of what it broadcast.
    pub async fn submit_inapp_tx(&self, id: &str, body: &Value) -> Result<Answer, ClientError> {
        let path = format!("/v1/billing/invoices/{id}/inapp/submit");
        self.raw(Method::POST, &path, Some(body)).await
    }

    /// Creates an invoice.
    pub async fn create_invoice(&self, body: &Value) -> Result<Answer, ClientError> {
        self.raw(Method::POST, "/v1/billing/invoices", Some(body))
            .await
    }

    /// Reads an invoice.
    pub async fn get_invoice(&self, id: &str) -> Result<Answer, ClientError> {
        self.raw(Method::GET, &format!("/v1/billing/invoices/{id}"), None)
            .await
    }

    /// Lists invoices; the query is as in `status=paid&limit=5`.
    pub async fn list_invoices(&self, query: &str) -> Result<Answer, ClientError> {
        self.raw(
            Method::GET,
            &with_query("/v1/billing/invoices", query),
            None,
        )
        .await
    }

    /// Cancels an invoice.
    pub async fn cancel(&self, id: &str) -> Result<Answer, ClientError> {
        self.raw(
            Method::POST,
            &format!("/v1/billing/invoices/{id}/cancel"),
            None,
        )
        .await
    }

    /// Pays an invoice from the balance.
    pub async fn pay(&self, id: &str) -> Result<Answer, ClientError> {
        self.raw(
            Method::POST,
            &format!("/v1/billing/invoices/{id}/pay-from-balance"),
            None,
        )
        .await
    }

    /// Reads the balance.
    pub async fn balance(&self) -> Result<Answer, ClientError> {
        self.raw(Method::GET, "/v1/balance", None).await
    }

    /// Lists ledger entries; the query is as in `limit=5&after_id=9`.
    pub async fn entries(&self, query: &str) -> Result<Answer, ClientError> {
        self.raw(Method::GET, &with_query("/v1/balance/entries", query), None)
            .await
    }

    /// Opens the stream of an invoice. Another status than 200 is `ClientError::Unwanted`.
    pub async fn invoice_stream(&self, id: &str) -> Result<Frames, ClientError> {
        self.stream(&format!("/v1/billing/invoices/{id}/events"))
            .await
    }

    /// Opens the stream of the balance. Another status than 200 is `ClientError::Unwanted`.
    pub async fn balance_stream(&self) -> Result<Frames, ClientError> {
        self.stream("/v1/balance/events").await
    }

    async fn stream(&self, path: &str) -> Result<Frames, ClientError> {
        let call = call_of(&Method::GET, path);
        let request = self
            .request(&Method::GET, path)
            .header(ACCEPT, "text/event-stream");
        // A limit for the head of the answer only: the stream itself has no end.
        let response = match tokio::time::timeout(ANSWER_LIMIT, request.send()).await {
            Err(_) => return Err(ClientError::Silent(ANSWER_LIMIT)),
            Ok(Err(source)) => return Err(ClientError::NoAnswer { call, source }),
            Ok(Ok(response)) => response,
        };
        if response.status().as_u16() == 200 {
            return Ok(Frames::new(response));
        }
        match Answer::read(response).await {
            Ok(answer) => Err(ClientError::Unwanted {
                call,
                answer: Box::new(answer),
            }),
            Err(source) => Err(ClientError::NoAnswer { call, source }),
        }
    }
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// The body that creates an invoice for a subscription.
#[must_use]
pub fn subscription_invoice(plan: &str, months: u32) -> Value {
    json!({
        "channel": "crypto-onchain",
        "rail": "sol-spl-usdc",
        "bill_action": { "type": "subscription_purchase", "plan": plan, "months": months },
    })
}
