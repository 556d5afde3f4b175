//! One trace id from the call through the job to its events and every log line.

use serde_json::{Value, json};
use stack::{Console, Deployment, Service};

use crate::support::{
    Caller, LIMIT, STARTER, assert_closed, cookies, event, finish, invoice, send, start, starter,
    until, user_with,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Posts as this user, as part of this trace.
async fn post(deployment: &Deployment, console: &Console, path: &str, trace: &str) -> u16 {
    let request = Caller::at(deployment.api(0).url())
        .post(path)
        .header("cookie", cookies(console))
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = send(request).await;
    assert_eq!(answer.headers["x-request-id"], trace);
    answer.status
}

/// Kinds and topics of the events of a trace.
async fn events(deployment: &Deployment, trace: &str) -> Vec<(String, String)> {
    sqlx::query_as(
        "select message ->> 'kind', topic from outbox where message ->> 'trace_id' = $1 order by batch_id, id",
    )
    .bind(trace)
    .fetch_all(deployment.pool())
    .await
    .expect("the events")
}

/// The log lines of a process that carry a trace id, wherever in the line.
fn lines(service: &Service, trace: &str) -> Vec<Value> {
    let lines = service
        .logs()
        .into_iter()
        .filter(|line| line.contains(trace));
    lines
        .map(|line| serde_json::from_str(&line).expect("a line of JSON"))
        .collect()
}

/// Waits for a line of this trace with this message.
async fn line(service: &Service, trace: &str, message: &str) -> Value {
    let found = async || {
        let mut lines = lines(service, trace).into_iter();
        lines.find(|line| line["message"] == message)
    };
    until(&format!("the log line `{message}`"), LIMIT, found).await
}

#[tokio::test]
async fn a_payment_is_one_trace_from_end_to_end() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER).await;
    let id = invoice(&console, &starter()).await;
    let invoice_path = format!("/v1/billing/invoices/{id}");
    let path = format!("{invoice_path}/pay-from-balance");
    assert_eq!(post(&deployment, &console, &path, TRACE).await, 200);
    let expected = [
        (
            "balance_debit".to_owned(),
            format!("balance:{}", console.user_id()),
        ),
        ("invoice_paid".to_owned(), format!("invoice:{id}")),
    ];
    assert_eq!(events(&deployment, TRACE).await, expected);

    let settled = line(deployment.worker(0), TRACE, "settled").await;
    assert_eq!(settled["span"]["trace_id"], TRACE);
    assert_eq!(settled["invoice_id"], json!(id));
    let answered = line(deployment.api(0), TRACE, "answered").await;
    assert_eq!(answered["span"]["trace_id"], TRACE);
    assert_eq!(answered["status"], 200);

    // A replay is a trace of its own that causes nothing.
    assert_eq!(post(&deployment, &console, &path, OTHER_TRACE).await, 200);
    assert_eq!(events(&deployment, OTHER_TRACE).await, []);
    line(deployment.worker(0), OTHER_TRACE, "settled").await;
    assert_eq!(events(&deployment, TRACE).await, expected);
    finish(deployment).await;
}

#[tokio::test]
async fn a_cancellation_is_one_trace_and_clients_do_not_see_it() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user_with(&deployment, STARTER).await;
    let id = invoice(&console, &starter()).await;
    let mut stream = console.invoice_stream(&id).await.expect("a stream");
    assert_eq!(event(&mut stream).await.0, "snapshot");
    let path = format!("/v1/billing/invoices/{id}/cancel");
    assert_eq!(post(&deployment, &console, &path, TRACE).await, 204);
    let expected = [("invoice_cancelled".to_owned(), format!("invoice:{id}"))];
    assert_eq!(events(&deployment, TRACE).await, expected);
    let (name, data) = event(&mut stream).await;
    assert_eq!(name, "invoice_cancelled");
    assert!(!data.to_string().contains(TRACE), "{data}");
    assert_closed(&mut stream, "after the end").await;

    let refused = post(&deployment, &console, &path, OTHER_TRACE).await;
    assert_eq!(
        (refused, events(&deployment, OTHER_TRACE).await),
        (404, vec![])
    );
    let answered = line(deployment.api(0), OTHER_TRACE, "answered").await;
    assert_eq!(answered["status"], 404);
    finish(deployment).await;
}
