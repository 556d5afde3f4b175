//! The operator token: nothing works without it, and it works for nothing else.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE};
use stack::{Deployment, SessionTokens};

use crate::support::{
    Caller, STARTER, assert_refused, everything, finish, of_user, send, start, user_with,
};

/// Every endpoint, about this user.
fn endpoints(user: uuid::Uuid) -> Vec<(Method, String)> {
    let posts = [
        "/ops/v1/users".to_owned(),
        of_user(user, "sessions"),
        of_user(user, "adjustments"),
        of_user(user, "lock"),
        of_user(user, "unlock"),
        "/ops/v1/queues/pay/pause".to_owned(),
        "/ops/v1/queues/pay/resume".to_owned(),
        "/ops/v1/parked/1/retry".to_owned(),
        "/ops/v1/parked/1/discard".to_owned(),
        "/ops/v1/unattributed/dismiss".to_owned(),
        "/ops/v1/unattributed/1/attribute".to_owned(),
        "/ops/v1/unattributed/1/credit".to_owned(),
        "/ops/v1/unattributed/1/dismiss".to_owned(),
    ];
    let gets = [
        "audit",
        "actions",
        "dust",
        "queues",
        "parked",
        "reconciliation",
        "unattributed",
    ]
    .map(|what| format!("/ops/v1/{what}"));
    posts
        .into_iter()
        .map(|path| (Method::POST, path))
        .chain(gets.into_iter().map(|path| (Method::GET, path)))
        .chain([(Method::DELETE, of_user(user, "sessions"))])
        .collect()
}

#[tokio::test]
async fn nothing_works_without_the_token() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user_with(&deployment, STARTER).await;
    let token = deployment.settings().operator_token.clone();
    let SessionTokens { session, csrf, .. } = console.tokens();
    let headers = [
        (AUTHORIZATION, String::new()),
        (AUTHORIZATION, "Bearer".to_owned()),
        (AUTHORIZATION, "Bearer ".to_owned()),
        (AUTHORIZATION, "Bearer wrong".to_owned()),
        (AUTHORIZATION, token.clone()),
        (AUTHORIZATION, format!("Basic {token}")),
        (AUTHORIZATION, format!("Token {token}")),
        (AUTHORIZATION, format!("Bearer{token}")),
        (AUTHORIZATION, format!("Bearer {token}0")),
        (AUTHORIZATION, format!("Bearer {}", &token[1..])),
        (AUTHORIZATION, format!("Bearer {}", token.to_uppercase())),
        (AUTHORIZATION, format!("Bearer {token} {token}")),
        (AUTHORIZATION, format!("Bearer {session}")),
        (COOKIE, format!("nl_session={session}; nl_csrf={csrf}")),
        (COOKIE, format!("nl_session={token}")),
    ];
    let before = everything(deployment.pool()).await;
    let caller = Caller::at(deployment.api(0).url());
    for (method, path) in endpoints(console.user_id()) {
        let what = format!("{method} {path}");
        let body = serde_json::json!({"delta_micro": 5, "reason": "r", "idempotency_key": "k"});
        let bare = send(caller.request(&method, &path).json(&body)).await;
        assert_refused(&bare, 401, "unauthorized", &what);
        for (name, value) in &headers {
            let request = caller
                .request(&method, &path)
                .header(name, value)
                .json(&body);
            let what = format!("{what} with {name}: {value}");
            assert_refused(&send(request).await, 401, "unauthorized", &what);
        }
    }
    assert_eq!(everything(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn the_scheme_has_no_case_and_consoles_do_not_take_the_token() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let caller = Caller::at(deployment.api(0).url());
    let token = &deployment.settings().operator_token;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = caller.request(&Method::GET, "/ops/v1/queues");
        let answer = send(request.header(AUTHORIZATION, format!("{scheme} {token}"))).await;
        assert_eq!(answer.status, 200, "{scheme}: {}", answer.text);
    }
    let console = caller
        .request(&Method::GET, "/v1/balance")
        .bearer_auth(token);
    assert_refused(&send(console).await, 401, "auth required", "a console");
    let no_route = caller
        .request(&Method::GET, "/ops/v1/nonesuch")
        .bearer_auth(token);
    assert_refused(&send(no_route).await, 404, "not found", "no such path");
    finish(deployment).await;
}
