//! Who is let in (contract §1.2): the cookie `nl_session` of a live session, and nothing else.

use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use stack::{Console, Deployment, SessionTokens};

use crate::support::{
    Caller, assert_refused, assert_unchanged_by, books, finish, invoice, send, start, starter,
    user, user_with,
};

/// Every call that needs a session, about this invoice.
fn calls(id: &str) -> [(Method, String); 9] {
    let invoice = format!("/v1/billing/invoices/{id}");
    [
        (Method::POST, "/v1/billing/invoices".to_owned()),
        (Method::GET, "/v1/billing/invoices".to_owned()),
        (Method::GET, invoice.clone()),
        (Method::POST, format!("{invoice}/cancel")),
        (Method::POST, format!("{invoice}/pay-from-balance")),
        (Method::GET, format!("{invoice}/events")),
        (Method::GET, "/v1/balance".to_owned()),
        (Method::GET, "/v1/balance/entries".to_owned()),
        (Method::GET, "/v1/balance/events".to_owned()),
    ]
}

/// A session that has ended and was never used while it lived.
async fn expired_session(deployment: &Deployment) -> SessionTokens {
    let operator = deployment.operator();
    let user = operator.create_user().await.expect("a user");
    let tokens = operator.create_session(user).await.expect("a session");
    let ended = "update sessions set expires_at = now() - interval '1 second' where user_id = $1";
    sqlx::query(ended)
        .bind(user)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    tokens
}

/// What is no session, as headers.
async fn strangers(deployment: &Deployment, console: &Console) -> Vec<(&'static str, String)> {
    let SessionTokens { session, csrf, .. } = console.tokens();
    let expired = expired_session(deployment).await.session;
    let operator = &deployment.settings().operator_token;
    let hash = hex::encode(Sha256::digest(session));
    vec![
        ("cookie", String::new()),
        ("cookie", "nl_session=".to_owned()),
        ("cookie", "nl_session".to_owned()),
        ("cookie", "nl_session=garbage".to_owned()),
        ("cookie", format!("nl_session={}", "0".repeat(64))),
        ("cookie", format!("nl_session={}", "x".repeat(8000))),
        ("cookie", format!("nl_session={session}0")),
        ("cookie", format!("nl_session={}", &session[1..])),
        ("cookie", format!("nl_session={}", session.to_uppercase())),
        ("cookie", format!("nl_session={hash}")),
        ("cookie", format!("nl_session={csrf}")),
        ("cookie", format!("nl_session={operator}")),
        ("cookie", format!("nl_session={expired}")),
        ("cookie", format!("NL_SESSION={session}")),
        ("cookie", format!("session={session}; nl_csrf={session}")),
        ("authorization", format!("Bearer {session}")),
        ("authorization", format!("Bearer {operator}")),
        ("x-session", session.clone()),
    ]
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 49_000_000).await;
    let id = invoice(&console, &starter()).await;
    let strangers = strangers(&deployment, &console).await;
    let before = books(deployment.pool()).await;
    let caller = Caller::at(deployment.api(0).url());
    let refused = async |request: RequestBuilder, what: &str| {
        assert_refused(&send(request).await, 401, "auth required", what);
    };
    for (method, path) in calls(&id) {
        let call = format!("{method} {path}");
        refused(caller.request(&method, &path), &call).await;
        for (name, value) in &strangers {
            let what = format!("{call} with {name}: {value}");
            let request = caller.request(&method, &path).header(*name, value);
            refused(request.json(&starter()), &what).await;
        }
    }
    assert_unchanged_by(&before, &deployment, "strangers").await;
    finish(deployment).await;
}

#[tokio::test]
async fn the_cookie_is_found_among_others() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let session = &console.tokens().session;
    let caller = Caller::at(deployment.api(0).url());
    let headers = [
        format!("nl_session={session}"),
        format!("a=b; nl_session={session}; c=d"),
        format!("a=b;nl_session={session};"),
        format!("xnl_session=garbage; nl_session={session}"),
    ];
    for header in headers {
        let answer = send(caller.get("/v1/balance").header(COOKIE, &header)).await;
        assert_eq!(answer.status, 200, "{header}: {}", answer.text);
    }
    let request = caller.get("/v1/balance").header(COOKIE, "a=b");
    let request = request.header(COOKIE, format!("nl_session={session}"));
    let two_headers = send(request.header(AUTHORIZATION, "Bearer garbage")).await;
    assert_eq!(two_headers.status, 200, "{}", two_headers.text);
    finish(deployment).await;
}

/// The tables with a row that contains the text, in whatever form.
async fn tables_that_know(pool: &PgPool, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select tablename::text from pg_tables where schemaname = 'public' order by 1",
    )
    .fetch_all(pool)
    .await
    .expect("the tables");
    assert!(tables.contains(&"sessions".to_owned()), "{tables:?}");
    let mut knowing = Vec::new();
    for table in tables {
        // Bytes are shown in hexadecimal, so both the text and its bytes are looked for.
        let found = format!(
            "select exists (select from {table} t where to_jsonb(t)::text like '%' || $1 || '%'
                            or to_jsonb(t)::text like '%' || $2 || '%')"
        );
        let knows: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(found))
            .bind(text)
            .bind(hex::encode(text))
            .fetch_one(pool)
            .await
            .expect("an answer");
        if knows {
            knowing.push(table);
        }
    }
    knowing
}

#[tokio::test]
async fn only_hashes_of_the_tokens_are_stored() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 49_000_000).await;
    let id = invoice(&console, &starter()).await;
    assert_eq!(console.pay(&id).await.expect("an answer").status, 200);
    let SessionTokens { session, csrf, .. } = console.tokens();
    let pool = deployment.pool();
    for token in [session, csrf] {
        // 32 random bytes as hexadecimal digits, whose own bytes must not be there either.
        assert_eq!(token.len(), 64);
        assert_eq!(tables_that_know(pool, token).await, Vec::<String>::new());
        let hash = hex::encode(Sha256::digest(token));
        assert_eq!(tables_that_know(pool, &hash).await, ["sessions"]);
    }
    let (token_hash, csrf_hash): (Vec<u8>, Vec<u8>) =
        sqlx::query_as("select token_hash, csrf_hash from sessions where user_id = $1")
            .bind(console.user_id())
            .fetch_one(pool)
            .await
            .expect("one session");
    assert_eq!(token_hash, Sha256::digest(session).to_vec());
    assert_eq!(csrf_hash, Sha256::digest(csrf).to_vec());
    finish(deployment).await;
}

#[tokio::test]
async fn a_session_is_one_users_and_a_user_may_have_several() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let first = user_with(&deployment, 5).await;
    let other = user_with(&deployment, 7).await;
    let tokens = deployment
        .operator()
        .create_session(first.user_id())
        .await
        .expect("a session");
    assert_ne!(tokens.session, first.tokens().session);
    assert_ne!(tokens.session, tokens.csrf);
    let url = deployment.api(0).url();
    let second = Console::new(url, first.user_id(), tokens).expect("a client");
    for (console, amount) in [(&first, 5), (&second, 5), (&other, 7)] {
        let body = console.balance().await.expect("an answer").body;
        assert_eq!(body["amount_micro"], json!(amount));
    }
    finish(deployment).await;
}
