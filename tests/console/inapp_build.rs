//! Every row of the error table of inapp/build (contract §4.7), in its order, and nothing changed.

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use stack::{Console, Deployment};

use crate::inapp::{
    NO_NODE, NODE_KEY, build, build_path, cancelled, overdue, paid, pending, set, submit_path,
    swept, without_chain,
};
use crate::support::{
    Caller, IMPOSSIBLE_IDS, STARTER, assert_bad_json, assert_refused, assert_unchanged_by, books,
    finish, invoice, send, signed_in, start, starter, user, user_with,
};

const WALLET: &str = "9Zb9ZKvbNfUqk6Nq3vYyGtaR5wQxNZpkmbFZ4cqmSfVd";
const ZERO: &str = "11111111111111111111111111111111";

fn payer(text: &str) -> Value {
    json!({"payer": text})
}

/// What a deployment without in-app payments says, whoever asks whatever.
async fn assert_not_configured(deployment: &Deployment, path: &str, what: &str) {
    let console = user(deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    let calls = [
        caller.post(path),
        caller.post(path).json(&payer(WALLET)),
        caller
            .post(path)
            .body("{")
            .header(CONTENT_TYPE, "application/json"),
        signed_in(caller.post(path), &console).json(&payer(WALLET)),
    ];
    for call in calls {
        let answer = send(call).await;
        assert_refused(&answer, 503, "inapp not configured", what);
        assert!(answer.headers.contains_key(RETRY_AFTER), "{what}");
    }
    let wrong = send(signed_in(caller.get(path), &console)).await;
    assert_refused(&wrong, 405, "method_not_allowed", what);
}

#[tokio::test]
async fn where_it_is_not_configured_nobody_is_asked_to_sign_in() {
    let path = build_path("inv_0000000000000000");
    let cases = [
        ("no node", vec![]),
        (
            "no deposit address",
            vec![
                ("SOLANA_RPC_URL", NO_NODE),
                ("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", ""),
            ],
        ),
        (
            "switched off",
            vec![
                ("SOLANA_RPC_URL", NO_NODE),
                ("QUITTANCE_INAPP_ENABLED", "false"),
            ],
        ),
    ];
    for (what, variables) in cases {
        let builder = variables.into_iter().fold(
            Deployment::builder().workers(0),
            |builder, (name, value)| builder.env(name, value),
        );
        let deployment = start(builder).await;
        assert_not_configured(&deployment, &path, what).await;
        if what == "switched off" {
            let submit = submit_path("inv_0000000000000000");
            assert_not_configured(&deployment, &submit, "submit, switched off").await;
        }
        finish(deployment).await;
    }
}

#[tokio::test]
async fn bodies_are_checked_before_the_invoice() {
    let deployment = start(without_chain()).await;
    let console = user(&deployment).await;
    let caller = Caller::at(deployment.api(0).url());
    let path = build_path("inv_0000000000000000");

    assert_refused(
        &send(caller.post(&path).body("{")).await,
        401,
        "auth required",
        "nobody",
    );
    let raw = |body: &'static str| {
        let call = signed_in(caller.post(&path), &console);
        call.header(CONTENT_TYPE, "application/json").body(body)
    };
    for body in [
        "",
        "{",
        "[]",
        "null",
        "[\"x\"]",
        r#"{"payer":1}"#,
        r#"{"payer":["x"]}"#,
    ] {
        assert_bad_json(&send(raw(body)).await, body);
    }
    for body in [
        "{}",
        r#"{"payer":""}"#,
        r#"{"payer":null}"#,
        r#"{"other":1}"#,
    ] {
        assert_refused(&send(raw(body)).await, 400, "payer required", body);
    }
    let long = "1".repeat(33);
    let longer = "z".repeat(5000);
    for text in ["0", " ", "l", &WALLET[..40], &long, &longer, "é"] {
        let answer = build(&console, "inv_0000000000000000", &payer(text)).await;
        let detail = answer.error().strip_prefix("bad payer pubkey: ");
        assert!(
            detail.is_some_and(|detail| !detail.is_empty()),
            "{}",
            answer.text
        );
        assert_eq!(answer.status, 400, "{text}");
    }
    let zero = build(&console, "inv_0000000000000000", &payer(ZERO)).await;
    assert_refused(&zero, 400, "payer is zero pubkey", "zero");
    finish(deployment).await;
}

/// An invoice, and what building for it is answered.
struct Row(&'static str, String, u16, &'static str);

async fn rows(deployment: &Deployment, mine: &Console, theirs: &Console) -> Vec<Row> {
    let pool = deployment.pool();
    let onchain = invoice(mine, &starter()).await;
    let onchain_cancelled = invoice(mine, &starter()).await;
    assert_eq!(
        mine.cancel(&onchain_cancelled)
            .await
            .expect("an answer")
            .status,
        204
    );
    let elsewhere = pending(mine).await;
    let elsewhere_cancelled = pending(mine).await;
    for id in [&elsewhere, &elsewhere_cancelled] {
        set(
            pool,
            id,
            "update invoices set rail = 'tron-usdt' where id = $1",
        )
        .await;
    }
    let cancel = mine.cancel(&elsewhere_cancelled).await.expect("an answer");
    assert_eq!(cancel.status, 204);
    let ended = "invoice_not_pending: cancelled";
    vec![
        Row("another's", pending(theirs).await, 404, "invoice not found"),
        Row(
            "another's, ended",
            cancelled(theirs).await,
            404,
            "invoice not found",
        ),
        Row("on chain", onchain, 400, "invoice_not_inapp"),
        Row(
            "on chain, ended",
            onchain_cancelled,
            400,
            "invoice_not_inapp",
        ),
        Row("paid", paid(mine).await, 409, "invoice_not_pending: paid"),
        Row("cancelled", cancelled(mine).await, 409, ended),
        Row("ended, another chain", elsewhere_cancelled, 409, ended),
        Row(
            "swept",
            swept(mine, pool).await,
            409,
            "invoice_not_pending: expired",
        ),
        Row("overdue", overdue(mine, pool).await, 410, "invoice_expired"),
        Row("another chain", elsewhere, 400, "rail_not_solana_inapp"),
    ]
}

#[tokio::test]
async fn every_refusal_has_its_own_error_and_changes_nothing() {
    let deployment = start(without_chain().workers(1)).await;
    let mine = user_with(&deployment, 10 * STARTER).await;
    let theirs = user(&deployment).await;
    let rows = rows(&deployment, &mine, &theirs).await;
    let open = pending(&mine).await;

    let before = books(deployment.pool()).await;
    for Row(what, id, status, error) in &rows {
        let answer = build(&mine, id, &payer(WALLET)).await;
        assert_refused(&answer, *status, error, what);
    }
    for id in IMPOSSIBLE_IDS {
        let answer = build(&mine, id, &payer(WALLET)).await;
        assert_refused(&answer, 404, "invoice not found", id);
    }
    let recipient = &deployment.settings().deposit_address;
    let own = build(&mine, &open, &payer(recipient)).await;
    assert_refused(&own, 400, "payer_equals_recipient", "the recipient");

    let failed = build(&mine, &open, &payer(WALLET)).await;
    let detail = failed
        .error()
        .strip_prefix("build_failed: ")
        .unwrap_or_default();
    assert_refused(&failed, 502, failed.error(), "no node");
    assert!(!detail.is_empty(), "{}", failed.text);
    for told in [NODE_KEY, "127.0.0.1", "http"] {
        assert!(!failed.text.contains(told), "{}", failed.text);
    }
    assert_unchanged_by(&before, &deployment, "refused").await;
    finish(deployment).await;
}
