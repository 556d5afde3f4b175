//! `GET /v1/billing/invoices/{id}/events` (contract §4.5, §5.1).

use futures::future::join_all;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};
use stack::{Console, Deployment, Frames};

use crate::support::{
    Caller, IMPOSSIBLE_IDS, STARTER, assert_closed, assert_now, assert_refused, backdate, event,
    finish, invoice, send, signed_in, start, starter, topup, user, user_with,
};

fn path(id: &str) -> String {
    format!("/v1/billing/invoices/{id}/events")
}

/// Opens a stream and reads its first frame, which must be the single view of now.
async fn open(console: &Console, id: &str) -> Frames {
    let mut stream = console.invoice_stream(id).await.expect("a stream");
    let (name, data) = event(&mut stream).await;
    assert_eq!(name, "snapshot");
    let mut expected = console.get_invoice(id).await.expect("an answer").body;
    expected["kind"] = json!("snapshot");
    assert_eq!(data, expected);
    stream
}

/// The envelope that all events of an invoice share; what is zero or empty is left out.
fn envelope(kind: &str, console: &Console, id: &str, amount_micro: i64, at: &Value) -> Value {
    json!({
        "kind": kind,
        "invoice_id": id,
        "user_id": console.user_id(),
        "status": kind.trim_start_matches("invoice_"),
        "amount_micro": amount_micro,
        "at": at,
    })
}

async fn assert_last_event(
    stream: &mut Frames,
    console: &Console,
    (kind, id, amount_micro): (&str, &str, i64),
) {
    let (name, data) = event(stream).await;
    assert_eq!(name, kind);
    assert_now(&data["at"], kind);
    assert_eq!(data, envelope(kind, console, id, amount_micro, &data["at"]));
    assert_closed(stream, kind).await;
}

#[tokio::test]
async fn the_head_says_that_events_follow() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    let of_invoice = path(&invoice(&console, &starter()).await);
    for path in [of_invoice.as_str(), "/v1/balance/events"] {
        for accept in ["text/event-stream", "*/*"] {
            let request = signed_in(caller.get(path).header(ACCEPT, accept), &console);
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status().as_u16(), 200, "{path} {accept}");
            let headers = response.headers();
            assert_eq!(
                headers[CONTENT_TYPE], "text/event-stream",
                "{path} {accept}"
            );
            assert_eq!(headers["cache-control"], "no-cache", "{path} {accept}");
            assert!(headers.contains_key("x-request-id"), "{path} {accept}");
        }
    }
    finish(deployment).await;
}

#[tokio::test]
async fn paying_and_cancelling_are_told_to_every_stream_which_then_closes() {
    let deployment = start(Deployment::builder().apis(2)).await;
    let console = user_with(&deployment, STARTER).await;
    let elsewhere = console.at(deployment.api(1).url());
    let pending = invoice(&console, &starter()).await;
    let mut silent = open(&console, &pending).await;

    let paid = invoice(&console, &starter()).await;
    let openings = [&console, &elsewhere, &console].map(|console| open(console, &paid));
    let mut streams = join_all(openings).await;
    assert_eq!(console.pay(&paid).await.expect("an answer").status, 200);
    for stream in &mut streams {
        assert_last_event(stream, &console, ("invoice_paid", &paid, STARTER)).await;
    }

    let cancelled = invoice(&console, &topup(5)).await;
    let mut streams = join_all([&console, &elsewhere].map(|one| open(one, &cancelled))).await;
    assert_eq!(
        console.cancel(&cancelled).await.expect("an answer").status,
        204
    );
    for stream in &mut streams {
        assert_last_event(stream, &console, ("invoice_cancelled", &cancelled, 5)).await;
    }

    // A stream is about its own invoice only: the next thing this one says is its own end.
    assert_eq!(
        console.cancel(&pending).await.expect("an answer").status,
        204
    );
    assert_last_event(
        &mut silent,
        &console,
        ("invoice_cancelled", &pending, STARTER),
    )
    .await;
    finish(deployment).await;
}

#[tokio::test]
async fn what_was_received_is_told_once_there_is_something() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let id = invoice(&console, &starter()).await;
    sqlx::query("update invoices set payments_received_micro = 7 where id = $1")
        .bind(&id)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    let mut stream = open(&console, &id).await;
    assert_eq!(console.cancel(&id).await.expect("an answer").status, 204);
    let (name, data) = event(&mut stream).await;
    let mut expected = envelope("invoice_cancelled", &console, &id, STARTER, &data["at"]);
    expected["payments_received_micro"] = json!(7);
    assert_eq!((name.as_str(), &data), ("invoice_cancelled", &expected));
    // Nothing was received in truth, and the audit at the end knows.
    sqlx::query("update invoices set payments_received_micro = 0 where id = $1")
        .bind(&id)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    finish(deployment).await;
}

#[tokio::test]
async fn an_ended_invoice_has_one_snapshot_and_no_more() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER).await;
    let paid = invoice(&console, &starter()).await;
    assert_eq!(console.pay(&paid).await.expect("an answer").status, 200);
    let cancelled = invoice(&console, &starter()).await;
    assert_eq!(
        console.cancel(&cancelled).await.expect("an answer").status,
        204
    );
    let expired = invoice(&console, &starter()).await;
    backdate(deployment.pool(), &expired).await;
    for (id, status) in [
        (paid, "paid"),
        (cancelled, "cancelled"),
        (expired, "expired"),
    ] {
        let request = Caller::at(deployment.api(0).url()).get(&path(&id));
        let whole = send(signed_in(request, &console)).await;
        assert_eq!(whole.status, 200, "{status}");
        let frame = whole.text.strip_prefix("event: snapshot\ndata: ");
        let data = frame
            .and_then(|rest| rest.strip_suffix("\n\n"))
            .expect("one frame");
        let data: Value = serde_json::from_str(data).expect("one line of JSON");
        assert_eq!(data["status"], status);
        let mut expected = console.get_invoice(&id).await.expect("an answer").body;
        expected["kind"] = json!("snapshot");
        assert_eq!(data, expected);
    }
    finish(deployment).await;
}

#[tokio::test]
async fn only_the_owner_may_listen() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let foreign = invoice(&user(&deployment).await, &starter()).await;
    let caller = Caller::at(deployment.api(0).url());
    for id in IMPOSSIBLE_IDS.into_iter().chain([foreign.as_str()]) {
        let answer = send(signed_in(caller.get(&path(id)), &console)).await;
        assert_refused(&answer, 404, "not found", id);
    }
    for path in [
        path(&foreign).as_str(),
        &path("nonsense"),
        "/v1/balance/events",
    ] {
        for request in [
            caller.get(path),
            caller.get(path).header("cookie", "nl_session=dead"),
        ] {
            let answer = send(request.header(ACCEPT, "text/event-stream")).await;
            assert_refused(&answer, 401, "auth required", path);
        }
    }
    finish(deployment).await;
}
