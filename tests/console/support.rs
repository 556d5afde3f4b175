//! What the modules of this suite share.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, COOKIE};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::client::console::subscription_invoice;
use stack::deployment::Builder;
use stack::{Answer, Console, Deployment, Frames};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The longest that anything awaited here may take, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(20);
/// An interval that no test lives to see the end of.
pub const NEVER_MS: &str = "3600000";
pub const INVOICES: &str = "/v1/billing/invoices";
/// One month of the plan `starter`.
pub const STARTER: i64 = 49_000_000;

/// What no invoice is called.
pub const IMPOSSIBLE_IDS: [&str; 14] = [
    "inv_0000000000000000",
    "inv_8f2c1a",
    "inv_8F2A1C9D4E6B40F1",
    "inv_8f2a1c9d4e6b40f1a",
    "inv_",
    "nonsense",
    "0",
    "-1",
    "null",
    "%00",
    "%ff%fe",
    "inv_8f2a1c9d4e6b40f%31%00",
    "..%2f..%2fetc",
    "'%20or%201=1--",
];

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

/// The body of an invoice for one month of `starter`.
pub fn starter() -> Value {
    subscription_invoice("starter", 1)
}

/// The body of a top-up.
pub fn topup(amount_micro: i64) -> Value {
    json!({
        "channel": "crypto-onchain",
        "rail": "sol-spl-usdc",
        "bill_action": {"type": "topup"},
        "amount_micro": amount_micro,
    })
}

/// The same body with other fields.
pub fn with(mut body: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().expect("fields") {
        body[name.as_str()] = value.clone();
    }
    body
}

/// Creates an invoice that must come into being; returns its view.
pub async fn created(console: &Console, body: &Value) -> Value {
    let answer = console.create_invoice(body).await.expect("an answer");
    assert_eq!(answer.status, 201, "{body}: {}", answer.text);
    answer.body
}

/// Creates an invoice that must come into being; returns its id.
pub async fn invoice(console: &Console, body: &Value) -> String {
    text_of(&created(console, body).await, "id").to_owned()
}

pub fn text_of<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().expect("a text")
}

/// A field that must be an RFC 3339 time.
pub fn time_of(invoice: &Value, field: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text_of(invoice, field), &Rfc3339).expect("an RFC 3339 time")
}

/// The names of an object's fields, sorted.
pub fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// Lets an invoice's time run out two days ago, without anybody noticing.
pub async fn backdate(pool: &PgPool, id: &str) {
    let moved = sqlx::query(
        "update invoices set created_at = created_at - interval '2 days',
                             expires_at = expires_at - interval '2 days',
                             grace_until = grace_until - interval '2 days' where id = $1",
    )
    .bind(id)
    .execute(pool)
    .await
    .expect("the superuser may");
    assert_eq!(moved.rows_affected(), 1, "{id}");
}

/// Everything that a refused call must leave as it was.
pub async fn books(pool: &PgPool) -> Value {
    sqlx::query_scalar(
        "select jsonb_build_object(
            'users', (select jsonb_agg(to_jsonb(t) order by t.id) from users t),
            'balances', (select jsonb_agg(to_jsonb(t) order by t.user_id) from balances t),
            'transfers', (select jsonb_agg(to_jsonb(t) order by t.id) from transfers t),
            'adjustments', (select jsonb_agg(to_jsonb(t) order by t.transfer_id) from adjustments t),
            'invoices', (select jsonb_agg(to_jsonb(t) order by t.id) from invoices t),
            'subscriptions', (select jsonb_agg(to_jsonb(t) order by t.user_id, t.plan) from subscriptions t),
            'outbox', (select jsonb_agg(to_jsonb(t) order by t.batch_id, t.id) from outbox t))",
    )
    .fetch_one(pool)
    .await
    .expect("the books")
}

pub async fn assert_unchanged_by(before: &Value, deployment: &Deployment, what: &str) {
    assert_eq!(&books(deployment.pool()).await, before, "{what}");
}

/// A refusal in the one form that the console knows: `{"error": "<string>"}` and nothing else.
pub fn assert_refused(answer: &Answer, status: u16, error: &str, what: &str) {
    let said = (answer.status, &answer.body);
    assert_eq!(said, (status, &json!({"error": error})), "{what}");
    let content_type = answer.headers.get(CONTENT_TYPE).expect("a content type");
    assert_eq!(content_type, "application/json", "{what}");
}

/// 400 `bad json: <detail>`.
pub fn assert_bad_json(answer: &Answer, what: &str) {
    let detail = answer
        .error()
        .strip_prefix("bad json: ")
        .unwrap_or_default();
    assert!(!detail.is_empty(), "{what}: {}", answer.text);
    assert_refused(answer, 400, answer.error(), what);
}

/// A client that sends what a browser would not.
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

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(&Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(&Method::POST, path)
    }
}

/// Both cookies of a session, as a browser sends them with every call.
pub fn cookies(console: &Console) -> String {
    let tokens = console.tokens();
    format!("nl_session={}; nl_csrf={}", tokens.session, tokens.csrf)
}

pub fn signed_in(request: RequestBuilder, console: &Console) -> RequestBuilder {
    request.header(COOKIE, cookies(console))
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
pub async fn until<T>(what: &str, limit: Duration, probe: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The next event of a stream that must have one.
pub async fn event(frames: &mut Frames) -> (String, Value) {
    let next = frames.next_event(LIMIT).await.expect("the stream goes on");
    next.expect("the stream is open")
}

/// The server must close the stream without another word.
pub async fn assert_closed(frames: &mut Frames, what: &str) {
    let rest = frames.collect_until_closed(LIMIT).await;
    assert_eq!(rest.expect("the stream ends"), [], "{what}");
}

pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("before the end of time")
}

/// A time of this moment, in Unix seconds.
pub fn assert_now(at: &Value, what: &str) {
    let at = at.as_i64().expect("Unix seconds");
    assert!((unix_now() - at).abs() <= 60, "{what}: {at}");
}
