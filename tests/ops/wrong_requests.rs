//! Requests to the operator API that are wrong as HTTP.

use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_TYPE};
use stack::Deployment;
use uuid::Uuid;

use crate::support::{Caller, assert_refused, everything, finish, of_user, send, start, user};

#[tokio::test]
async fn a_verb_that_a_path_does_not_take_is_refused() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let caller = Caller::at(deployment.api(0).url());
    let token = &deployment.settings().operator_token;
    let before = everything(deployment.pool()).await;
    let user = Uuid::from_u128(7);
    let of_user = |what| of_user(user, what);
    let paths = [
        ("/ops/v1/users".to_owned(), ["POST"].as_slice()),
        (of_user("sessions"), &["POST", "DELETE"]),
        (of_user("adjustments"), &["POST"]),
        (of_user("lock"), &["POST"]),
        (of_user("unlock"), &["POST"]),
        ("/ops/v1/audit".to_owned(), &["GET"]),
        ("/ops/v1/actions".to_owned(), &["GET"]),
        ("/ops/v1/queues".to_owned(), &["GET"]),
        ("/ops/v1/queues/pay/pause".to_owned(), &["POST"]),
        ("/ops/v1/queues/pay/resume".to_owned(), &["POST"]),
        ("/ops/v1/parked".to_owned(), &["GET"]),
        ("/ops/v1/parked/1/retry".to_owned(), &["POST"]),
        ("/ops/v1/parked/1/discard".to_owned(), &["POST"]),
        ("/ops/v1/dust".to_owned(), &["GET"]),
        ("/ops/v1/reconciliation".to_owned(), &["GET"]),
        ("/ops/v1/unattributed".to_owned(), &["GET"]),
        ("/ops/v1/unattributed/dismiss".to_owned(), &["POST"]),
        ("/ops/v1/unattributed/1/credit".to_owned(), &["POST"]),
        ("/ops/v1/unattributed/1/attribute".to_owned(), &["POST"]),
        ("/ops/v1/unattributed/1/dismiss".to_owned(), &["POST"]),
    ];
    for (path, taken) in paths {
        for verb in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if taken.contains(&verb) {
                continue;
            }
            let method = Method::from_bytes(verb.as_bytes()).expect("a verb");
            let answer = send(caller.request(&method, &path).bearer_auth(token)).await;
            let what = format!("{verb} {path}");
            assert_refused(&answer, 405, "method_not_allowed", &what);
            let allow = answer
                .headers
                .get(ALLOW)
                .and_then(|value| value.to_str().ok());
            let allow: Vec<&str> = allow
                .unwrap_or_default()
                .split(',')
                .map(str::trim)
                .collect();
            assert!(
                taken.iter().all(|verb| allow.contains(verb)),
                "{what}: {allow:?}"
            );
        }
    }
    assert_eq!(everything(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn an_adjustment_is_a_small_json_object() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let path = of_user(user(&deployment).await.user_id(), "adjustments");
    let caller = Caller::at(deployment.api(0).url());
    let token = &deployment.settings().operator_token;
    let good = r#"{"delta_micro": 5, "reason": "r", "idempotency_key": "k"}"#.to_owned();
    let post = async |content_type: Option<&str>, body: String| {
        let mut request = caller
            .request(&Method::POST, &path)
            .bearer_auth(token)
            .body(body);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        send(request).await
    };
    let before = everything(deployment.pool()).await;
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let answer = post(content_type, good.clone()).await;
        assert_refused(
            &answer,
            415,
            "unsupported_media_type",
            &format!("{content_type:?}"),
        );
    }
    let json = Some("application/json");
    let large = format!("{good}{}", " ".repeat(16_384));
    assert_refused(
        &post(json, large).await,
        413,
        "body_too_large",
        "a large body",
    );
    for text in [
        "",
        "{",
        "null",
        "5",
        "\"text\"",
        &good.replace('"', "'"),
        &format!("{good}{good}"),
    ] {
        let answer = post(json, text.to_owned()).await;
        assert!(
            answer.error().starts_with("bad json: "),
            "{text}: {}",
            answer.text
        );
        assert_refused(&answer, 400, answer.error(), text);
    }
    assert_eq!(everything(deployment.pool()).await, before);
    assert_eq!(post(json, good).await.status, 200);
    finish(deployment).await;
}
