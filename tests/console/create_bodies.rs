//! Request bodies that are unusual JSON, or none.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use stack::{Answer, Console, Deployment};

use crate::support::{
    Caller, INVOICES, assert_bad_json, assert_unchanged_by, books, finish, send, signed_in, start,
    starter, user, with,
};

async fn post(
    deployment: &Deployment,
    console: &Console,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let request = Caller::at(deployment.api(0).url()).post(INVOICES);
    let request = request.header(CONTENT_TYPE, "application/json").body(body);
    send(signed_in(request, console)).await
}

/// Values of another type than the field's, as they stand in JSON.
const MISTYPED: &[(&str, &str)] = &[
    ("channel", "5"),
    ("channel", "null"),
    ("channel", "[]"),
    ("rail", "null"),
    ("rail", "{}"),
    ("bill_action", "null"),
    ("bill_action", "\"topup\""),
    ("bill_action", "5"),
    ("bill_action", "{\"type\":null}"),
    ("bill_action", "{\"type\":5}"),
    (
        "bill_action",
        "{\"type\":\"subscription_renew\",\"plan\":5,\"months\":1}",
    ),
    (
        "bill_action",
        "{\"type\":\"subscription_renew\",\"plan\":\"scale\",\"months\":\"1\"}",
    ),
    (
        "bill_action",
        "{\"type\":\"subscription_renew\",\"plan\":\"scale\",\"months\":1.0}",
    ),
    ("amount_micro", "49000000.0"),
    ("amount_micro", "0.0"),
    ("amount_micro", "-0.0"),
    ("amount_micro", "4.9e7"),
    ("amount_micro", "1e400"),
    ("amount_micro", "\"49000000\""),
    ("amount_micro", "\"\""),
    ("amount_micro", "9223372036854775808"),
    ("amount_micro", "-9223372036854775809"),
    ("amount_micro", "1e-7"),
    (
        "amount_micro",
        "99999999999999999999999999999999999999999999",
    ),
    ("amount_micro", "true"),
    ("amount_micro", "[]"),
    ("amount_micro", "{}"),
    ("amount_micro", "NaN"),
    ("amount_micro", "Infinity"),
    ("amount_micro", "0x10"),
    ("amount_micro", "049000000"),
    ("amount_micro", "+1"),
    ("ttl_seconds", "60.0"),
    ("ttl_seconds", "\"3600\""),
    ("ttl_seconds", "9223372036854775808"),
    ("description", "5"),
    ("description", "[]"),
    ("client_request_id", "5"),
    ("client_request_id", "{}"),
];

/// The text of a body whose field (given as it stands in JSON) is added to a good one.
fn adding(field: &str) -> String {
    let good = starter().to_string();
    let head = good.strip_suffix('}').expect("an object");
    format!("{head},{field}}}")
}

/// The text of a good body in which a part is replaced.
fn replacing(part: &str, by: &str) -> String {
    let good = starter().to_string();
    assert!(good.contains(part), "{part} in {good}");
    good.replace(part, by)
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn what_is_not_the_documented_object_is_bad_json() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let before = books(deployment.pool()).await;
    let good = starter().to_string();
    let texts = [
        String::new(),
        " ".to_owned(),
        "null".to_owned(),
        "5".to_owned(),
        "\"text\"".to_owned(),
        "{".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good} trailing"),
        format!("\u{feff}{good}"),
        format!("{good}/* comment */"),
        good.replace('"', "'"),
        nested(100),
        nested(5000),
        adding(&format!("\"description\":{}", nested(100))),
        adding("\"description\":\"a raw \u{0} NUL\""),
        adding("\"description\":\"half a pair \\ud800\""),
        adding("\"description\":\"no such escape \\x\""),
    ];
    for text in texts {
        let answer = post(&deployment, &console, text.clone()).await;
        assert_bad_json(&answer, &text);
    }
    let not_text = [
        b"{\"channel\":\"\xff\"}".to_vec(),
        vec![0; 10],
        vec![0xff; 10],
    ];
    for bytes in not_text {
        let what = format!("{bytes:?}");
        assert_bad_json(&post(&deployment, &console, bytes).await, &what);
    }
    assert_unchanged_by(&before, &deployment, "bad JSON").await;
    finish(deployment).await;
}

#[tokio::test]
async fn a_list_of_values_is_no_object() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let before = books(deployment.pool()).await;
    let lists = [
        json!(["crypto-onchain", "sol-spl-usdc", {"type": "topup"}, 5]),
        with(
            starter(),
            &json!({"bill_action": ["subscription_purchase", "starter", 1]}),
        ),
        with(
            starter(),
            &json!({"bill_action": ["topup"], "amount_micro": 5}),
        ),
    ];
    for body in lists {
        let text = body.to_string();
        assert_bad_json(&post(&deployment, &console, text.clone()).await, &text);
    }
    assert_unchanged_by(&before, &deployment, "a list").await;
    finish(deployment).await;
}

#[tokio::test]
async fn missing_doubled_and_mistyped_fields_are_bad_json() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let before = books(deployment.pool()).await;
    let mut texts: Vec<String> = ["channel", "rail", "bill_action"]
        .into_iter()
        .map(|field| replacing(&format!("\"{field}\""), "\"other\""))
        .collect();
    texts.push(replacing("\"type\"", "\"other\""));
    texts.extend(
        [
            "\"channel\":\"crypto-onchain\"",
            "\"rail\":\"sol-native\"",
            "\"bill_action\":{}",
            "\"amount_micro\":0,\"amount_micro\":0",
            "\"ttl_seconds\":60,\"ttl_seconds\":60",
            "\"description\":\"\",\"description\":\"\"",
            "\"client_request_id\":\"a\",\"client_request_id\":\"b\"",
        ]
        .map(adding),
    );
    texts.push(replacing("\"plan\":", "\"plan\":\"scale\",\"plan\":"));
    let mut object = starter();
    for (field, value) in MISTYPED {
        let kept = object[field].take();
        // A marker, because serde_json could not hold most of these values.
        object[field] = json!("@");
        texts.push(object.to_string().replace("\"@\"", value));
        match kept {
            Value::Null => drop(object.as_object_mut().and_then(|map| map.remove(*field))),
            kept => object[field] = kept,
        }
    }
    for text in texts {
        assert_bad_json(&post(&deployment, &console, text.clone()).await, &text);
    }
    assert_unchanged_by(&before, &deployment, "a bad field").await;
    finish(deployment).await;
}

#[tokio::test]
async fn unusual_but_good_bodies_are_taken() {
    let builder = Deployment::builder().workers(0);
    let deployment = start(builder.env("QUITTANCE_INVOICES_PENDING_MAX", "1000")).await;
    let console = user(&deployment).await;
    let good = starter().to_string();
    let texts = [
        format!(" \r\n\t{good}\n"),
        adding(&format!("\"unknown\":{}", nested(100))),
        adding("\"unknown\":1,\"unknown\":2"),
        adding("\"unknown\":[1e308,-0.0,99999999999999999999999999]"),
        good.replace("\"channel\"", "\"ch\\u0061nnel\""),
        good.replace("crypto-onchain", "crypto\\u002donchain"),
    ];
    for text in texts {
        let answer = post(&deployment, &console, text.clone()).await;
        assert_eq!(answer.status, 201, "{text}: {}", answer.text);
    }
    let kept = [
        "😀",
        "\u{1}\u{7f}\u{85}",
        "\" \\ / \r\n\t",
        "' or 1=1 --",
        "<b>&amp;</b>",
        "\u{202e}",
    ];
    let longest = ["x".repeat(500), "ä".repeat(500), "😀".repeat(500)];
    let descriptions = kept.map(str::to_owned).into_iter().chain(longest);
    for description in descriptions {
        let body = with(starter(), &json!({"description": description}));
        let answer = post(&deployment, &console, body.to_string()).await;
        assert_eq!(answer.status, 201, "{description}: {}", answer.text);
        assert_eq!(answer.body["description"], description);
    }
    for id in [
        "x".repeat(128),
        "ä".repeat(128),
        " ".to_owned(),
        "😀 / \" \\".to_owned(),
    ] {
        let body = with(starter(), &json!({"client_request_id": id}));
        let answer = post(&deployment, &console, body.to_string()).await;
        assert_eq!(answer.status, 201, "{id}: {}", answer.text);
        assert_eq!(answer.body["client_request_id"], id);
    }
    finish(deployment).await;
}
