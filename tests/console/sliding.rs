//! A used session starts over once less than half of its time is left (contract §1.2).

use reqwest::Method;
use reqwest::header::SET_COOKIE;
use stack::{Answer, Console, Deployment};
use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};

use crate::support::{
    Caller, LIMIT, assert_refused, finish, invoice, send, signed_in, start, starter, until, user,
};

const LIFETIME: Duration = Duration::days(30);

/// One `Set-Cookie` header taken apart.
#[derive(Debug, PartialEq)]
struct SetCookie {
    name: String,
    value: String,
    attributes: Vec<String>,
    expires: OffsetDateTime,
}

fn set_cookies(answer: &Answer) -> Vec<SetCookie> {
    let headers = answer.headers.get_all(SET_COOKIE).iter();
    let texts = headers.map(|header| header.to_str().expect("text"));
    texts.map(set_cookie).collect()
}

fn set_cookie(text: &str) -> SetCookie {
    let mut parts = text.split("; ");
    let (name, value) = parts
        .next()
        .and_then(|pair| pair.split_once('='))
        .expect("a pair");
    let (expires, mut attributes): (Vec<&str>, Vec<&str>) =
        parts.partition(|part| part.starts_with("Expires="));
    let [expires] = expires.as_slice() else {
        unreachable!("one Expires in {text}");
    };
    let date = expires
        .trim_start_matches("Expires=")
        .replace("GMT", "+0000");
    attributes.sort_unstable();
    SetCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        attributes: attributes.into_iter().map(str::to_owned).collect(),
        expires: OffsetDateTime::parse(&date, &Rfc2822).expect("an HTTP date"),
    }
}

async fn expiry(deployment: &Deployment, console: &Console) -> OffsetDateTime {
    sqlx::query_scalar("select expires_at from sessions where user_id = $1")
        .bind(console.user_id())
        .fetch_one(deployment.pool())
        .await
        .expect("one session")
}

async fn leave(deployment: &Deployment, console: &Console, left: Duration) {
    sqlx::query("update sessions set expires_at = $2 where user_id = $1")
        .bind(console.user_id())
        .bind(OffsetDateTime::now_utc() + left)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
}

fn is_thirty_days_from_now(time: OffsetDateTime) -> bool {
    (time - OffsetDateTime::now_utc() - LIFETIME).abs() < Duration::minutes(1)
}

/// Both cookies as they were, with the new end.
fn assert_both_sent_again(answer: &Answer, console: &Console, secure: bool) {
    let sent = set_cookies(answer);
    let names: Vec<&str> = sent.iter().map(|cookie| cookie.name.as_str()).collect();
    assert_eq!(names, ["nl_session", "nl_csrf"]);
    let tokens = console.tokens();
    assert_eq!(sent[0].value, tokens.session);
    assert_eq!(sent[1].value, tokens.csrf);
    let mut of_csrf = vec!["Path=/", "SameSite=Lax"];
    if secure {
        of_csrf.push("Secure");
    }
    let mut of_session = of_csrf.clone();
    of_session.insert(0, "HttpOnly");
    assert_eq!(sent[0].attributes, of_session);
    assert_eq!(sent[1].attributes, of_csrf);
    assert!(
        sent.iter()
            .all(|cookie| is_thirty_days_from_now(cookie.expires)),
        "{sent:?}"
    );
}

#[tokio::test]
async fn below_half_both_cookies_are_sent_again_and_the_row_moves() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let id = invoice(&user(&deployment).await, &starter()).await;
    let invoices = "/v1/billing/invoices";
    let calls = [
        (Method::GET, "/v1/balance".to_owned(), 200),
        (Method::GET, "/v1/balance/entries".to_owned(), 200),
        (Method::GET, invoices.to_owned(), 200),
        (Method::POST, invoices.to_owned(), 201),
        // A refused call is use, too.
        (Method::GET, format!("{invoices}/{id}"), 404),
        (Method::POST, format!("{invoices}/{id}/cancel"), 404),
    ];
    let caller = Caller::at(deployment.api(0).url());
    for (method, path, status) in calls {
        let console = user(&deployment).await;
        leave(
            &deployment,
            &console,
            Duration::days(15) - Duration::minutes(1),
        )
        .await;
        let request = signed_in(caller.request(&method, &path), &console).json(&starter());
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_both_sent_again(&answer, &console, false);
        assert!(
            is_thirty_days_from_now(expiry(&deployment, &console).await),
            "{path}"
        );
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_session_slides_once_and_then_rests() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    leave(&deployment, &console, Duration::minutes(1)).await;
    let caller = Caller::at(deployment.api(0).url());
    let balance = async || send(signed_in(caller.get("/v1/balance"), &console)).await;
    assert_both_sent_again(&balance().await, &console, false);
    // The process may believe for a moment what it knew of the session.
    until("no more cookies", LIMIT, async || {
        set_cookies(&balance().await).is_empty().then_some(())
    })
    .await;
    let moved = expiry(&deployment, &console).await;
    assert!(is_thirty_days_from_now(moved));
    assert_eq!(set_cookies(&balance().await), []);
    assert_eq!(expiry(&deployment, &console).await, moved);
    finish(deployment).await;
}

#[tokio::test]
async fn above_half_nothing_slides_and_after_the_end_nothing_either() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let caller = Caller::at(deployment.api(0).url());
    let console = user(&deployment).await;
    assert!(
        is_thirty_days_from_now(expiry(&deployment, &console).await),
        "a fresh session"
    );
    let fresh = &console.tokens().expires_at;
    let format = &time::format_description::well_known::Rfc3339;
    let told = OffsetDateTime::parse(fresh, format).expect("an RFC 3339 time");
    assert!(is_thirty_days_from_now(told), "{fresh}");

    leave(
        &deployment,
        &console,
        Duration::days(15) + Duration::minutes(1),
    )
    .await;
    let left = expiry(&deployment, &console).await;
    let quiet = send(signed_in(caller.get("/v1/balance"), &console)).await;
    assert_eq!((quiet.status, set_cookies(&quiet)), (200, vec![]));
    assert_eq!(expiry(&deployment, &console).await, left);

    let console = user(&deployment).await;
    leave(&deployment, &console, Duration::seconds(-1)).await;
    let ended = expiry(&deployment, &console).await;
    let refused = send(signed_in(caller.get("/v1/balance"), &console)).await;
    assert_refused(&refused, 401, "auth required", "an ended session");
    assert_eq!(set_cookies(&refused), []);
    assert_eq!(expiry(&deployment, &console).await, ended);
    finish(deployment).await;
}

#[tokio::test]
async fn cookies_are_marked_secure_where_the_deployment_says_so() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_SESSION_COOKIE_SECURE", "true");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    leave(&deployment, &console, Duration::days(1)).await;
    let caller = Caller::at(deployment.api(0).url());
    let answer = send(signed_in(caller.get("/v1/balance"), &console)).await;
    assert_both_sent_again(&answer, &console, true);
    finish(deployment).await;
}
