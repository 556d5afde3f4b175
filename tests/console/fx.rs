//! The price of a SOL: read from a feed, locked into invoices, refused when it cannot be trusted.

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use stack::deployment::Builder;
use stack::{Console, Deployment};

use crate::outside::{FEED_KEY, Feed, Says};
use crate::support::{
    Caller, LIMIT, assert_refused, assert_unchanged_by, books, created, finish, send, start,
    text_of, topup, until, user, with,
};

/// An api that reads this feed often, and has no other price.
fn reading(feed: &Feed) -> Builder {
    Deployment::builder()
        .workers(0)
        .env("QUITTANCE_INVOICES_PENDING_MAX", "1000")
        .env("QUITTANCE_SOL_PRICE_MICRO", "0")
        .env("QUITTANCE_SOL_PRICE_FEED_URL", feed.url())
        .env("QUITTANCE_SOL_PRICE_FEED_INTERVAL_MS", "20")
        .env("QUITTANCE_SOL_PRICE_FEED_TIMEOUT_MS", "300")
}

/// A top-up of 10 dollars in SOL.
fn ten_dollars() -> Value {
    with(topup(10_000_000), &json!({"rail": "sol-native"}))
}

/// The rate that an invoice has in the database, micro-USD a SOL.
async fn locked(deployment: &Deployment, invoice: &Value) -> Option<i64> {
    sqlx::query_scalar("select fx_micro_per_token from invoices where id = $1")
        .bind(text_of(invoice, "id"))
        .fetch_one(deployment.pool())
        .await
        .expect("the row")
}

async fn assert_unavailable(console: &Console, what: &str) {
    let answer = console.create_invoice(&ten_dollars()).await;
    let answer = answer.expect("an answer");
    assert_refused(&answer, 503, "fx_unavailable", what);
    let retry_after = answer.headers.get(RETRY_AFTER).expect("when to come back");
    assert_eq!(retry_after, "1", "{what}");
}

async fn metrics(deployment: &Deployment) -> String {
    let scrape = Caller::at(deployment.api(0).url()).get("/metrics");
    send(scrape).await.text
}

#[tokio::test]
async fn the_feeds_price_is_locked_to_the_last_digit() {
    let mut feed = Feed::closed();
    feed.open();
    // Both are configured: the feed wins.
    let builder = reading(&feed).env("QUITTANCE_SOL_PRICE_MICRO", "150000000");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    // What the feed says, the rate locked, the rate shown per lamport, and ten dollars in SOL, rounded up.
    let rows = [
        ("100", 100_000_000, "0.1", "0.1"),
        ("\"187.654321\"", 187_654_321, "0.187654321", "0.053289474"),
        ("123.4567894999", 123_456_789, "0.123456789", "0.081000001"),
        ("123.4567895", 123_456_790, "0.12345679", "0.081000001"),
        ("1.000000", 1_000_000, "0.001", "10"),
        ("10000", 10_000_000_000, "10", "0.001"),
    ];
    for (price, rate, shown, amount) in rows {
        feed.says_price(price).await;
        let answer = console.create_invoice(&ten_dollars()).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 201, "{price}: {}", answer.text);
        assert_eq!(locked(&deployment, &answer.body).await, Some(rate));
        let shown = format!("\"fx_rate_micro_per_atomic\":{shown},");
        assert!(answer.text.contains(&shown), "{price}: {}", answer.text);
        let amount = format!("?amount={amount}&");
        let qr_uri = text_of(&answer.body, "qr_uri");
        assert!(qr_uri.contains(&amount), "{price}: {qr_uri}");
    }
    // A feed that breaks leaves the last good price, while that is young.
    for broken in ["\"n/a\"", "10000.000001", "0.999999"] {
        feed.says_price(broken).await;
        let invoice = created(&console, &ten_dollars()).await;
        assert_eq!(locked(&deployment, &invoice).await, Some(10_000_000_000));
    }
    finish(deployment).await;
}

#[tokio::test]
async fn without_a_trusted_price_nothing_is_created() {
    let mut feed = Feed::closed();
    let deployment = start(reading(&feed)).await;
    let console = user(&deployment).await;
    let before = books(deployment.pool()).await;
    let rails = Caller::at(deployment.api(0).url()).get("/v1/billing/rails");
    assert_eq!(send(rails).await.body["rails"][0]["id"], "sol-native");
    assert_unavailable(&console, "nobody listens there").await;

    feed.open();
    let body = |text: &str| Says::Body(text.to_owned());
    let long = format!("{}{{\"price\": 150}}", " ".repeat(70_000));
    let wrong = [
        body("<html>150</html>"),
        body(""),
        body("{\"price\": 150"),
        body("{\"usd\": 150}"),
        body("{\"price\": null}"),
        body("{\"price\": 1.5e2}"),
        body("{\"price\": -150}"),
        body("{\"price\": 0.999999}"),
        body("{\"price\": 10000.000001}"),
        body(&long),
        Says::Status(500),
        Says::Status(429),
        Says::Status(204),
        Says::Redirect,
        Says::Nothing,
    ];
    for says in wrong {
        let what = format!("{says:?}").chars().take(80).collect::<String>();
        feed.says(says).await;
        assert_unavailable(&console, &what).await;
    }
    assert_unchanged_by(&before, &deployment, "refused").await;
    let told = metrics(&deployment).await;
    assert!(told.contains("quittance_sol_price_failures_total"));
    assert!(!told.contains("quittance_sol_price_age_seconds"));

    // Shape comes first, and tokens need no rate.
    let bad = with(ten_dollars(), &json!({"amount_micro": -1}));
    let answer = console.create_invoice(&bad).await.expect("an answer");
    assert_refused(&answer, 400, "bad amount_micro", "a bad amount");
    created(&console, &topup(10_000_000)).await;

    feed.says_price("150").await;
    created(&console, &ten_dollars()).await;
    assert!(
        metrics(&deployment)
            .await
            .contains("quittance_sol_price_age_seconds")
    );
    let logs = deployment.api(0).logs().concat();
    assert!(logs.contains("the price feed gave no price"), "{logs}");
    assert!(!logs.contains(FEED_KEY), "{logs}");
    finish(deployment).await;
}

#[tokio::test]
async fn an_old_price_is_not_used_and_a_locked_one_stays() {
    let mut feed = Feed::closed();
    feed.open();
    let builder = reading(&feed).env("QUITTANCE_SOL_PRICE_AGE_MAX_MS", "1500");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let named = with(ten_dollars(), &json!({"client_request_id": "order-7"}));
    feed.says_price("200").await;
    let invoice = created(&console, &named).await;
    let assert_replayed = async |what: &str| {
        let answer = console.create_invoice(&named).await.expect("an answer");
        assert_eq!((answer.status, &answer.body), (200, &invoice), "{what}");
    };

    feed.says(Says::Nothing).await;
    until("the price is too old", LIMIT, async || {
        let answer = console.create_invoice(&ten_dollars()).await;
        (answer.expect("an answer").status == 503).then_some(())
    })
    .await;
    assert_unavailable(&console, "too old").await;
    assert_replayed("while there is no price").await;

    feed.says_price("300").await;
    let dearer = created(&console, &ten_dollars()).await;
    assert_eq!(locked(&deployment, &dearer).await, Some(300_000_000));
    assert_replayed("at another price").await;
    assert_eq!(locked(&deployment, &invoice).await, Some(200_000_000));
    finish(deployment).await;
}
