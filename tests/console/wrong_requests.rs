//! Requests that are wrong as HTTP: verb, size, type (contract §1).

use futures::stream;
use reqwest::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use stack::{Answer, Deployment};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    Caller, INVOICES, LIMIT, assert_bad_json, assert_refused, assert_unchanged_by, books, cookies,
    finish, invoice, send, signed_in, start, starter, user,
};

const LIMIT_BYTES: usize = 16_384;

/// Every path with the verbs it takes.
const PATHS: [(&str, &[&str]); 9] = [
    ("/v1/billing/rails", &["GET"]),
    ("/v1/billing/invoices", &["GET", "POST"]),
    ("/v1/billing/invoices/ID", &["GET"]),
    ("/v1/billing/invoices/ID/cancel", &["POST"]),
    ("/v1/billing/invoices/ID/events", &["GET"]),
    ("/v1/billing/invoices/ID/pay-from-balance", &["POST"]),
    ("/v1/balance", &["GET"]),
    ("/v1/balance/entries", &["GET"]),
    ("/v1/balance/events", &["GET"]),
];

#[tokio::test]
async fn a_verb_that_a_path_does_not_take_is_refused() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let id = invoice(&console, &starter()).await;
    let before = books(deployment.pool()).await;
    let caller = Caller::at(deployment.api(0).url());
    for (path, taken) in PATHS {
        let path = path.replace("ID", &id);
        for verb in ["GET", "POST", "PUT", "PATCH", "DELETE", "PURGE"] {
            if taken.contains(&verb) {
                continue;
            }
            let what = format!("{verb} {path}");
            let method = Method::from_bytes(verb.as_bytes()).expect("a verb");
            let request = caller.request(&method, &path).json(&starter());
            let anonymous = send(request.try_clone().expect("a plain body")).await;
            for answer in [anonymous, send(signed_in(request, &console)).await] {
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
    }
    assert_unchanged_by(&before, &deployment, "wrong verbs").await;
    finish(deployment).await;
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_not_found() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    let paths = [
        "/",
        "/v1",
        "/v1/",
        "/v1/billing",
        "/v1/billing/invoices/",
        "/v1/balance/",
        "/v2/balance",
        "/v1/balance/entries/5",
        "/V1/balance",
        "//v1/balance",
        "/v1/billing/invoices/x/y",
    ];
    for path in paths {
        for verb in [Method::GET, Method::POST] {
            let request = caller.request(&verb, path);
            let anonymous = send(request.try_clone().expect("no body")).await;
            for answer in [anonymous, send(signed_in(request, &console)).await] {
                assert_refused(&answer, 404, "not found", path);
            }
        }
    }
    finish(deployment).await;
}

/// A good body of exactly so many bytes.
fn body_of(bytes: usize) -> String {
    let good = starter().to_string();
    let padding = bytes - good.len();
    format!("{good}{}", " ".repeat(padding))
}

/// A body in portions, whose length nobody tells beforehand.
fn portions(text: &str) -> Body {
    let portions: Vec<Result<Vec<u8>, std::io::Error>> = text
        .as_bytes()
        .chunks(1000)
        .map(|portion| Ok(portion.to_vec()))
        .collect();
    Body::wrap_stream(stream::iter(portions))
}

#[tokio::test]
async fn a_body_has_a_largest_size_however_it_comes() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    let post = async |body: Body| -> Answer {
        let request = caller
            .post(INVOICES)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        send(signed_in(request, &console)).await
    };
    let largest = body_of(LIMIT_BYTES);
    for (what, body) in [
        ("one piece", Body::from(largest.clone())),
        ("portions", portions(&largest)),
    ] {
        let answer = post(body).await;
        assert_eq!(answer.status, 201, "{what}: {}", answer.text);
    }
    let before = books(deployment.pool()).await;
    for bytes in [LIMIT_BYTES + 1, 2 * LIMIT_BYTES, 60_000] {
        let text = body_of(bytes);
        for (what, body) in [
            ("one piece", Body::from(text.clone())),
            ("portions", portions(&text)),
        ] {
            let what = format!("{bytes} bytes in {what}");
            assert_refused(&post(body).await, 413, "body_too_large", &what);
        }
    }
    assert_unchanged_by(&before, &deployment, "too large").await;
    // The announcement alone is enough.
    let announced = caller
        .post(INVOICES)
        .header(CONTENT_TYPE, "application/json");
    let announced = announced
        .header(CONTENT_LENGTH, "20000")
        .body("x".repeat(20_000));
    assert_refused(
        &send(signed_in(announced, &console)).await,
        413,
        "body_too_large",
        "announced",
    );
    finish(deployment).await;
}

/// Writes a whole request, and reads until its answer's body has ended in `}`; empty when the
/// connection is closed before.
async fn exchange(connection: &mut TcpStream, request: &str) -> String {
    let exchanging = async {
        // A server may close its end before it has read everything, but not before it has answered.
        let _ = connection.write_all(request.as_bytes()).await;
        let mut said = Vec::new();
        while !said.ends_with(b"}")
            && connection
                .read_buf(&mut said)
                .await
                .is_ok_and(|read| read > 0)
        {}
        String::from_utf8(said).expect("text")
    };
    timeout(LIMIT, exchanging)
        .await
        .expect("an answer or an end")
}

#[tokio::test]
async fn a_connection_survives_a_large_body_or_is_closed_with_notice() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let address = deployment.api(0).url().trim_start_matches("http://");
    let head = format!(
        "POST {INVOICES} HTTP/1.1\r\nHost: {address}\r\nCookie: {}\r\nContent-Type: application/json\r\n",
        cookies(&console)
    );
    let text = body_of(60_000);
    let whole = format!("{head}Content-Length: {}\r\n\r\n{text}", text.len());
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
        text.len()
    );
    for (what, request) in [("one piece", whole), ("a chunk", chunked)] {
        let mut connection = TcpStream::connect(address).await.expect("a connection");
        let answer = exchange(&mut connection, &request).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{what}: {answer}");
        assert!(
            answer.ends_with(r#"{"error":"body_too_large"}"#),
            "{what}: {answer}"
        );
        if !answer.to_lowercase().contains("\r\nconnection: close\r\n") {
            let next = format!("GET /v1/balance HTTP/1.1\r\nHost: {address}\r\n\r\n");
            let next = exchange(&mut connection, &next).await;
            assert!(
                next.starts_with("HTTP/1.1 401 "),
                "{what}: closed without notice: {next}"
            );
        }
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let builder = Deployment::builder().workers(0);
    let deployment = start(builder.env("QUITTANCE_API_BODY_BYTES_MAX", "300")).await;
    let console = user(&deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    let post = async |content_type: Option<&str>, body: String| -> Answer {
        let mut request = caller.post(INVOICES).body(body);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        send(signed_in(request, &console)).await
    };
    let good = starter().to_string();
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json;charset=UTF-8",
        " application/json ",
    ] {
        let answer = post(Some(content_type), good.clone()).await;
        assert_eq!(answer.status, 201, "{content_type}: {}", answer.text);
    }
    let before = books(deployment.pool()).await;
    for content_type in [
        None,
        Some(""),
        Some("text/plain"),
        Some("text/json"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonp"),
        Some("json"),
        Some("*/*"),
        Some("text/plain; application/json"),
        Some("application/xml"),
    ] {
        for body in [good.clone(), "{".to_owned(), String::new()] {
            let answer = post(content_type, body).await;
            assert_refused(
                &answer,
                415,
                "unsupported_media_type",
                &format!("{content_type:?}"),
            );
        }
    }
    assert_bad_json(
        &post(Some("application/json"), String::new()).await,
        "an empty body",
    );
    // The largest size is a setting.
    let large = post(Some("application/json"), body_of(301)).await;
    assert_refused(&large, 413, "body_too_large", "by the setting");
    assert_unchanged_by(&before, &deployment, "wrong types").await;
    finish(deployment).await;
}
