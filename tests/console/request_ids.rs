//! `X-Request-Id` on every answer, taken over from `traceparent`.

use std::collections::HashSet;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use stack::Deployment;

use crate::support::{
    Caller, STARTER, finish, invoice, send, signed_in, start, starter, topup, user_with, with,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-01")
}

fn is_id(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER).await;
    let caller = Caller::at(deployment.api(0).url());
    let id = invoice(&console, &starter()).await;
    let path = format!("/v1/billing/invoices/{id}");
    let of_topup = format!(
        "/v1/billing/invoices/{}",
        invoice(&console, &topup(5)).await
    );
    let invoices = "/v1/billing/invoices";
    let signed = |request: RequestBuilder| signed_in(request, &console);
    let json = |body: &'static str| {
        signed(
            caller
                .post(invoices)
                .header("content-type", "application/json")
                .body(body),
        )
    };
    let large = with(starter(), &json!({"unknown": "x".repeat(20_000)}));
    let calls = [
        (200, caller.get("/v1/billing/rails")),
        (200, signed(caller.get(invoices))),
        (201, signed(caller.post(invoices).json(&starter()))),
        (200, signed(caller.get(&path))),
        (200, signed(caller.get("/v1/balance"))),
        (200, signed(caller.get("/v1/balance/entries"))),
        (
            200,
            signed(caller.post(&format!("{path}/pay-from-balance"))),
        ),
        (200, signed(caller.get(&format!("{path}/events")))),
        (400, json("{")),
        (401, caller.get("/v1/balance")),
        (401, caller.post("/ops/v1/users")),
        (
            403,
            signed(caller.post(invoices).header("origin", "https://evil.test")),
        ),
        (404, signed(caller.post(&format!("{path}/cancel")))),
        (404, caller.get("/no/such/path")),
        (405, caller.request(&Method::PUT, "/v1/balance")),
        (
            409,
            signed(caller.post(&format!("{of_topup}/pay-from-balance"))),
        ),
        (204, signed(caller.post(&format!("{of_topup}/cancel")))),
        (413, signed(caller.post(invoices).json(&large))),
        (415, signed(caller.post(invoices).body("x"))),
    ];
    let mut ids = HashSet::new();
    let count = calls.len();
    for (status, request) in calls {
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let id = answer
            .headers
            .get("x-request-id")
            .and_then(|value| value.to_str().ok());
        let id = id.expect("an id").to_owned();
        assert!(is_id(&id), "{status}: {id}");
        assert!(ids.insert(id), "{status}: seen before");
    }
    assert_eq!(ids.len(), count);
    finish(deployment).await;
}

#[tokio::test]
async fn a_good_trace_is_taken_over_and_a_bad_one_replaced() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let caller = Caller::at(deployment.api(0).url());
    let id_of = async |header: &str| -> String {
        let request = caller.get("/v1/balance").header("traceparent", header);
        let answer = send(request).await;
        assert_eq!(answer.status, 401, "{header}");
        answer.headers["x-request-id"]
            .to_str()
            .expect("text")
            .to_owned()
    };
    assert_eq!(id_of(&traceparent(TRACE)).await, TRACE);
    assert_eq!(
        id_of(&format!("00-{TRACE}-00f067aa0ba902b7-00")).await,
        TRACE
    );
    let bad = [
        String::new(),
        "garbage".to_owned(),
        TRACE.to_owned(),
        traceparent(&TRACE.to_uppercase()),
        traceparent(&"0".repeat(32)),
        traceparent(&TRACE[1..]),
        traceparent(&format!("{TRACE}0")),
        traceparent(&"g".repeat(32)),
        traceparent("4bf92f3577b34da6a3ce929d0e0e473'"),
    ];
    let mut ids = HashSet::new();
    for header in &bad {
        let id = id_of(header).await;
        assert!(
            is_id(&id) && id != TRACE && id != "0".repeat(32),
            "{header}: {id}"
        );
        assert!(ids.insert(id), "{header}: seen before");
    }
    finish(deployment).await;
}
