//! What the modules of this suite share.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::client::console::subscription_invoice;
use stack::deployment::Builder;
use stack::{Answer, Console, Deployment};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The longest that anything awaited here may take, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(20);
/// An interval that no test lives to see the end of.
pub const NEVER_MS: &str = "3600000";
/// One month of the plan `starter`.
pub const STARTER: i64 = 49_000_000;

pub async fn start(builder: Builder) -> Deployment {
    builder.start().await.expect("the deployment starts")
}

pub async fn finish(deployment: Deployment) {
    deployment.finish().await.expect("right books, clean ends");
}

pub async fn user(deployment: &Deployment) -> Console {
    deployment.user().await.expect("a user")
}

pub async fn user_with(deployment: &Deployment, micro: i64) -> Console {
    deployment
        .user_with_balance(micro)
        .await
        .expect("a user with money")
}

/// Creates an invoice for one month of `starter`; returns its id.
pub async fn invoice(console: &Console) -> String {
    let answer = console
        .create_invoice(&subscription_invoice("starter", 1))
        .await;
    let body = answer.expect("an answer").body;
    body["id"].as_str().expect("an id").to_owned()
}

/// A call of the operator API, with its token.
pub async fn ops(deployment: &Deployment, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    let answer = deployment.operator().raw(method, path, body.as_ref()).await;
    answer.expect("an answer")
}

/// `POST` without a body.
pub async fn post(deployment: &Deployment, path: &str) -> Answer {
    ops(deployment, Method::POST, path, Value::Null).await
}

pub async fn get(deployment: &Deployment, path: &str) -> Answer {
    ops(deployment, Method::GET, path, Value::Null).await
}

pub fn of_user(user: Uuid, what: &str) -> String {
    format!("/ops/v1/users/{user}/{what}")
}

/// The action log, newest first.
pub async fn actions(deployment: &Deployment) -> Vec<Value> {
    let answer = get(deployment, "/ops/v1/actions?limit=200").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["actions"].as_array().expect("a list").clone()
}

/// Everything that a refused call must leave as it was, the action log included.
pub async fn everything(pool: &PgPool) -> Value {
    sqlx::query_scalar(
        "select jsonb_build_object(
            'users', (select jsonb_agg(to_jsonb(t) order by t.id) from users t),
            'balances', (select jsonb_agg(to_jsonb(t) order by t.user_id) from balances t),
            'transfers', (select jsonb_agg(to_jsonb(t) order by t.id) from transfers t),
            'adjustments', (select jsonb_agg(to_jsonb(t) order by t.transfer_id) from adjustments t),
            'invoices', (select jsonb_agg(to_jsonb(t) order by t.id) from invoices t),
            'subscriptions', (select jsonb_agg(to_jsonb(t) order by t.user_id, t.plan) from subscriptions t),
            'sessions', (select jsonb_agg(to_jsonb(t) order by t.token_hash) from sessions t),
            'parked', (select jsonb_agg(to_jsonb(t) order by t.id) from parked_jobs t),
            'paused', (select jsonb_agg(to_jsonb(t) order by t.queue) from paused_queues t),
            'payments', (select jsonb_agg(to_jsonb(t) order by t.signature, t.account) from chain_payments t),
            'credits', (select jsonb_agg(to_jsonb(t) order by t.id) from chain_credits t),
            'deposits', (select jsonb_agg(to_jsonb(t) order by t.id) from unattributed_deposits t),
            'accounts', (select jsonb_agg(to_jsonb(t) order by t.account) from deposit_accounts t),
            'dust', (select jsonb_agg(to_jsonb(t) order by t.account) from deposit_dust t),
            'reconciliations', (select jsonb_agg(to_jsonb(t) order by t.account) from reconciliations t),
            'relays', (select jsonb_agg(to_jsonb(t) order by t.signature) from relay_transactions t),
            'actions', (select jsonb_agg(to_jsonb(t) order by t.id) from operator_actions t),
            'outbox', (select jsonb_agg(to_jsonb(t) order by t.batch_id, t.id) from outbox t))",
    )
    .fetch_one(pool)
    .await
    .expect("everything")
}

/// The same without the action log, which keeps refused actions, too.
pub async fn books(pool: &PgPool) -> Value {
    let mut books = everything(pool).await;
    drop(
        books
            .as_object_mut()
            .and_then(|tables| tables.remove("actions")),
    );
    books
}

pub async fn execute(pool: &PgPool, statements: &'static str) {
    sqlx::raw_sql(statements)
        .execute(pool)
        .await
        .expect("the superuser may");
}

/// A refusal in the one form that the operator API knows: `{"error": "<string>"}` and nothing else.
pub fn assert_refused(answer: &Answer, status: u16, error: &str, what: &str) {
    let said = (answer.status, &answer.body);
    assert_eq!(
        said,
        (status, &json!({"error": error})),
        "{what}: {}",
        answer.text
    );
    let content_type = answer.headers.get(CONTENT_TYPE).expect("a content type");
    assert_eq!(content_type, "application/json", "{what}");
}

/// The names of an object's fields, sorted.
pub fn fields(object: &Value) -> Vec<&str> {
    let names = object.as_object().expect("an object").keys();
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.sort_unstable();
    names
}

pub fn time_of(object: &Value, field: &str) -> OffsetDateTime {
    let text = object[field].as_str().expect("a text");
    OffsetDateTime::parse(text, &Rfc3339).expect("an RFC 3339 time")
}

pub fn is_now(time: OffsetDateTime) -> bool {
    (OffsetDateTime::now_utc() - time).abs() < time::Duration::minutes(1)
}

/// A client that sends what an operator would not.
pub struct Caller {
    client: Client,
    url: String,
}

impl Caller {
    pub fn at(url: &str) -> Self {
        let client = Client::builder().no_proxy().build().expect("a client");
        let url = url.to_owned();
        Self { client, url }
    }

    pub fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.client.request(method.clone(), url).timeout(LIMIT)
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer {
        status,
        headers,
        body,
        text,
    }
}

/// Asks until there is something; fails when that takes longer than the limit.
pub async fn until<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
