//! inapp/submit (contract §4.8) as far as it goes without a chain: its error table in order, and what is stored.

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;
use stack::{Console, Deployment};

use crate::inapp::{cancelled, overdue, paid, pending, submit, submit_path, swept, without_chain};
use crate::support::{
    Caller, IMPOSSIBLE_IDS, NEVER_MS, STARTER, assert_refused, assert_unchanged_by, books, finish,
    invoice, send, signed_in, start, starter, user, user_with,
};

fn some_signature(seed: u8) -> String {
    bs58::encode([seed; 64]).into_string()
}

async fn count(deployment: &Deployment, statement: &'static str) -> i64 {
    let counted = sqlx::query_scalar(statement).fetch_one(deployment.pool());
    counted.await.expect("a count")
}

async fn submissions(deployment: &Deployment) -> [i64; 3] {
    [
        count(deployment, "select count(*) from relay_transactions").await,
        count(deployment, "select count(*) from submitted_signatures").await,
        count(deployment, "select count(*) from chain_signatures").await,
    ]
}

#[tokio::test]
async fn bodies_are_checked_before_the_invoice() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    let path = submit_path("inv_0000000000000000");

    let nobody = send(caller.post(&path).body("{")).await;
    assert_refused(&nobody, 401, "auth required", "nobody");
    let raw = |body: &'static str| {
        let call = signed_in(caller.post(&path), &console);
        call.header(CONTENT_TYPE, "application/json").body(body)
    };
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"signature":1}"#,
        r#"{"signed_b64":{}}"#,
    ] {
        assert_refused(&send(raw(body)).await, 400, "bad json", body);
    }
    let required = "signature or signed_b64 required";
    for body in [
        "{}",
        r#"{"signature":""}"#,
        r#"{"signed_b64":null,"signature":""}"#,
    ] {
        assert_refused(&send(raw(body)).await, 400, required, body);
    }
    let as_text = signed_in(caller.post(&path), &console).body("{}");
    let as_text = send(as_text.header(CONTENT_TYPE, "text/plain")).await;
    assert_refused(&as_text, 415, "unsupported_media_type", "text");

    let short = bs58::encode([1; 63]).into_string();
    let long = bs58::encode([1; 65]).into_string();
    for text in ["0", "x", "not base58!", &short, &long, &"2".repeat(9000)] {
        let body = json!({"signature": text});
        let answer = submit(&console, "inv_0000000000000000", &body).await;
        assert_refused(&answer, 400, "bad signature", text);
    }
    finish(deployment).await;
}

async fn assert_already(console: &Console, id: &str, status: &str) {
    let signature = some_signature(7);
    let answer = submit(console, id, &json!({"signature": signature})).await;
    let expected = json!({
        "signature": signature, "submitted": false, "already_processed": true, "status": status,
    });
    assert_eq!((answer.status, &answer.body), (200, &expected), "{status}");
    // Nothing is done with a transaction either, whatever it is.
    let answer = submit(console, id, &json!({"signed_b64": "AQID"})).await;
    let expected = json!({
        "signature": "", "submitted": false, "already_processed": true, "status": status,
    });
    assert_eq!((answer.status, &answer.body), (200, &expected), "{status}");
}

#[tokio::test]
async fn invoices_that_cannot_be_paid_so_are_told_apart() {
    // No node is needed for any of this, and nothing is swept meanwhile.
    let builder = Deployment::builder().env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS);
    let deployment = start(builder).await;
    let mine = user_with(&deployment, 10 * STARTER).await;
    let theirs = user(&deployment).await;
    let pool = deployment.pool();
    let foreign = pending(&theirs).await;
    let onchain = invoice(&mine, &starter()).await;
    let (paid, cancelled) = (paid(&mine).await, cancelled(&mine).await);
    let (swept, overdue) = (swept(&mine, pool).await, overdue(&mine, pool).await);
    let open = pending(&mine).await;

    let before = books(pool).await;
    let bodies = [
        json!({"signature": some_signature(7)}),
        json!({"signed_b64": "AQID"}),
    ];
    for body in &bodies {
        for id in IMPOSSIBLE_IDS.into_iter().chain([foreign.as_str()]) {
            let answer = submit(&mine, id, body).await;
            assert_refused(&answer, 404, "invoice not found", id);
        }
        let answer = submit(&mine, &onchain, body).await;
        assert_refused(&answer, 400, "invoice_not_inapp", "on chain");
    }
    assert_already(&mine, &paid, "paid").await;
    assert_already(&mine, &cancelled, "cancelled").await;
    assert_already(&mine, &swept, "expired").await;
    assert_already(&mine, &overdue, "expired").await;
    let answer = submit(&mine, &open, &json!({"signed_b64": "AQID"})).await;
    assert_refused(&answer, 503, "rpc not configured", "no node");
    assert!(answer.headers.contains_key(RETRY_AFTER));
    assert_eq!(submissions(&deployment).await, [0, 0, 0]);
    assert_unchanged_by(&before, &deployment, "refused").await;
    finish(deployment).await;
}

#[tokio::test]
async fn signatures_are_noted_for_the_watcher_and_bounded() {
    let builder = Deployment::builder().workers(0);
    let hourly = "QUITTANCE_SUBMISSIONS_PER_INVOICE_PER_HOUR";
    let deployment = start(builder.env(hourly, "3")).await;
    let console = user(&deployment).await;
    let id = pending(&console).await;
    let before = books(deployment.pool()).await;
    let note = async |seed: u8| {
        let body = json!({"signature": some_signature(seed)});
        submit(&console, &id, &body).await
    };
    let noted = |seed: u8| json!({"signature": some_signature(seed), "submitted": false});
    for seed in [1, 2, 1, 3, 2] {
        let answer = note(seed).await;
        assert_eq!((answer.status, &answer.body), (200, &noted(seed)));
    }
    let refused = note(4).await;
    assert_refused(&refused, 429, "too_many_submissions", "the fourth");
    assert!(refused.headers.contains_key(RETRY_AFTER));
    let known = note(3).await;
    assert_eq!((known.status, &known.body), (200, &noted(3)));
    assert_eq!(submissions(&deployment).await, [0, 3, 3]);
    let hurried =
        "select count(*) from chain_signatures where source = 'submission' and priority = 2";
    assert_eq!(count(&deployment, hurried).await, 3);
    assert_unchanged_by(&before, &deployment, "noted").await;
    finish(deployment).await;
}

#[tokio::test]
async fn what_is_no_payment_is_judged_without_the_chain() {
    let deployment = start(without_chain()).await;
    let console = user(&deployment).await;
    let id = pending(&console).await;
    let answer = submit(&console, &id, &json!({"signed_b64": "AQID"})).await;
    assert_refused(&answer, 400, "tx_rejected: undecodable", "no node");
    assert_eq!(submissions(&deployment).await, [0, 0, 0]);
    finish(deployment).await;
}
