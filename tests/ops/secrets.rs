//! Secrets occur in no log line, metric or answer of the processes, however busy they are.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE};
use serde_json::{Value, json};
use stack::client::console::subscription_invoice;
use stack::{Console, Deployment, Service};

use crate::support::{
    Caller, STARTER, execute, finish, get, invoice, of_user, ops, send, start, user, user_with,
};

/// Lines of a process that the harness keeps; with fewer than these, it has kept all.
const LINES_KEPT: usize = 10_000;

fn password_of(url: &str) -> String {
    let url = reqwest::Url::parse(url).expect("a URL");
    url.password().expect("a password").to_owned()
}

fn secrets(deployment: &Deployment, consoles: &[&Console]) -> Vec<(&'static str, String)> {
    let settings = deployment.settings();
    let mut secrets = vec![
        ("the operator token", settings.operator_token.clone()),
        ("the api's password", password_of(&settings.api_url)),
        ("the worker's password", password_of(&settings.worker_url)),
        ("the owner's password", password_of(&settings.owner_url)),
    ];
    for console in consoles {
        secrets.push(("a session token", console.tokens().session.clone()));
        secrets.push(("a csrf token", console.tokens().csrf.clone()));
    }
    secrets
}

async fn metrics(service: &Service) -> String {
    let url = format!("{}/metrics", service.url());
    let answer = reqwest::get(url).await.expect("an answer");
    answer.text().await.expect("text")
}

/// Everything a signed-in user does, well and badly; returns the texts of the answers.
async fn be_busy(deployment: &Deployment, console: &Console) -> Vec<String> {
    let id = invoice(console).await;
    let mut texts = Vec::new();
    let mut stream = console.balance_stream().await.expect("a stream");
    for answer in [
        console.pay(&id).await,
        console.pay(&id).await,
        console.cancel(&id).await,
        console.balance().await,
        console.entries("").await,
        console.list_invoices("status=x").await,
        console.create_invoice(&json!({"channel": 5})).await,
        console
            .create_invoice(&subscription_invoice("free", 1))
            .await,
    ] {
        texts.push(answer.expect("an answer").text);
    }
    let frame = stream.next(crate::support::LIMIT).await.expect("a frame");
    texts.push(format!("{frame:?}"));
    let caller = Caller::at(deployment.api(0).url());
    let tokens = console.tokens();
    // Secrets where they do not belong.
    let (session, csrf) = (&tokens.session, &tokens.csrf);
    let token = &deployment.settings().operator_token;
    let misplaced = [
        caller.request(&Method::GET, &format!("/v1/balance?nl_session={session}")),
        caller.request(&Method::GET, &format!("/v1/billing/invoices/{session}")),
        caller.request(&Method::GET, &format!("/{session}/{csrf}")),
        caller.request(&Method::GET, &format!("/ops/v1/users/{token}/sessions")),
        caller
            .request(&Method::POST, &format!("/ops/v1/queues/{csrf}/pause"))
            .bearer_auth(token),
        caller
            .request(&Method::GET, "/v1/balance")
            .bearer_auth(token),
        caller
            .request(&Method::GET, "/ops/v1/queues")
            .header(AUTHORIZATION, format!("Basic {token}")),
        caller
            .request(&Method::GET, "/v1/balance")
            .header(COOKIE, format!("nl_session={token}")),
        caller
            .request(&Method::POST, "/v1/billing/invoices")
            .header(COOKIE, format!("nl_session={session}; nl_csrf={csrf}"))
            .header("x-csrf-token", session)
            .json(&json!({})),
        caller
            .request(&Method::GET, "/v1/balance")
            .header("traceparent", format!("00-{token}-1-01")),
    ];
    for request in misplaced {
        texts.push(send(request).await.text);
    }
    texts
}

/// What operators do, answers that hold new tokens excepted.
async fn operate(deployment: &Deployment, console: &Console) -> Vec<String> {
    let user = console.user_id();
    let mut texts = Vec::new();
    for what in ["lock", "unlock", "nonsense"] {
        texts.push(
            ops(deployment, Method::POST, &of_user(user, what), Value::Null)
                .await
                .text,
        );
    }
    let adjustment = json!({"delta_micro": 5, "reason": "r", "idempotency_key": "k"});
    texts.push(
        ops(
            deployment,
            Method::POST,
            &of_user(user, "adjustments"),
            adjustment,
        )
        .await
        .text,
    );
    for what in ["audit", "actions", "queues", "parked", "reconciliation"] {
        texts.push(get(deployment, &format!("/ops/v1/{what}")).await.text);
    }
    // Failures of our own are logged with their causes.
    execute(
        deployment.pool(),
        "revoke select on balances, transfers, sessions from quittance_api",
    )
    .await;
    let stranger = user_of_nothing(deployment, console);
    for console in [console, &stranger] {
        texts.push(console.balance().await.expect("an answer").text);
        texts.push(console.entries("").await.expect("an answer").text);
    }
    execute(
        deployment.pool(),
        "grant select on balances, transfers, sessions to quittance_api",
    )
    .await;
    texts.push(
        ops(
            deployment,
            Method::DELETE,
            &of_user(user, "sessions"),
            Value::Null,
        )
        .await
        .text,
    );
    texts
}

/// A console whose session the process has to look up.
fn user_of_nothing(deployment: &Deployment, console: &Console) -> Console {
    let mut tokens = console.tokens().clone();
    tokens.session = tokens.session.chars().rev().collect();
    Console::new(deployment.api(0).url(), console.user_id(), tokens).expect("a client")
}

async fn check(log: &str) {
    let builder = Deployment::builder()
        .env("QUITTANCE_LOG", log)
        .env("QUITTANCE_SWEEP_AUDIT_INTERVAL_MS", "0");
    let deployment = start(builder).await;
    let console = user_with(&deployment, 10 * STARTER).await;
    let other = user(&deployment).await;
    let mut said = be_busy(&deployment, &console).await;
    said.extend(be_busy_without_money(&other).await);
    said.extend(operate(&deployment, &console).await);
    for service in deployment.apis().iter().chain(deployment.workers()) {
        let lines = service.logs();
        assert!((1..LINES_KEPT).contains(&lines.len()), "{}", lines.len());
        said.extend(lines);
        let metrics = metrics(service).await;
        assert!(metrics.contains("quittance_"), "{metrics}");
        said.push(metrics);
    }
    assert!(
        said.iter().any(|text| text.contains("a request failed")),
        "failures were logged"
    );
    for (what, secret) in secrets(&deployment, &[&console, &other]) {
        assert!(secret.len() >= 32, "{what}");
        let leak = said.iter().find(|text| text.contains(&secret));
        assert_eq!(leak, None, "{what} with the log filter {log}");
    }
    finish(deployment).await;
}

async fn be_busy_without_money(console: &Console) -> Vec<String> {
    let id = invoice(console).await;
    let answers = [
        console.pay(&id).await,
        console.cancel(&id).await,
        console.cancel(&id).await,
    ];
    answers.map(|answer| answer.expect("an answer").text).into()
}

#[tokio::test]
async fn no_secret_is_said_as_processes_run() {
    check("info").await;
}

#[tokio::test]
async fn no_secret_is_said_while_somebody_looks_for_a_fault() {
    check("trace").await;
}
