//! Calls that a browser makes for pages of other sites (contract §1.2), and CORS.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use stack::Deployment;

use crate::support::{
    Caller, STARTER, assert_refused, assert_unchanged_by, books, finish, invoice, send, signed_in,
    start, starter, user_with,
};

const ALLOWED: &str = "https://console.example";

/// The headers of a browser's call, and whether they may change something.
fn rows(own: &str) -> Vec<(Vec<(&'static str, String)>, bool)> {
    let origin = |origin: &str| ("origin", origin.to_owned());
    let site = |site: &str| ("sec-fetch-site", site.to_owned());
    vec![
        (vec![], true),
        (vec![origin(own)], true),
        (vec![origin(own), site("same-origin")], true),
        (vec![origin(ALLOWED)], true),
        (vec![origin(ALLOWED), site("cross-site")], true),
        (vec![site("same-origin")], true),
        (vec![site("none")], true),
        (vec![site("cross-site")], false),
        (vec![origin("https://evil.test")], false),
        (
            vec![origin("https://evil.test"), site("same-origin")],
            false,
        ),
        (vec![origin("null")], false),
        (vec![origin("")], false),
        (vec![origin("evil.test")], false),
        (vec![origin("https://console.example.evil.test")], false),
        (
            vec![origin("https://evil.test/https://console.example")],
            false,
        ),
        (vec![origin(&format!("{own}.evil.test"))], false),
        (vec![origin(&format!("{own}0"))], false),
        (vec![origin("http://127.0.0.1")], false),
        (vec![origin("http://console.example")], false),
    ]
}

fn with(request: RequestBuilder, headers: &[(&'static str, String)]) -> RequestBuilder {
    let add =
        |request: RequestBuilder, (name, value): &(&str, String)| request.header(*name, value);
    headers.iter().fold(request, add)
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let builder = Deployment::builder()
        .env(
            "QUITTANCE_ALLOWED_ORIGINS",
            format!("https://a.example, {ALLOWED}"),
        )
        .env("QUITTANCE_INVOICES_PENDING_MAX", "1000");
    let deployment = start(builder).await;
    let console = user_with(&deployment, 100 * STARTER).await;
    let url = deployment.api(0).url();
    let caller = Caller::at(url);
    for (headers, allowed) in rows(url) {
        let id = invoice(&console, &starter()).await;
        let before = books(deployment.pool()).await;
        let path = format!("/v1/billing/invoices/{id}");
        let calls = [
            (caller.post("/v1/billing/invoices").json(&starter()), 201),
            (caller.post(&format!("{path}/pay-from-balance")), 200),
            (caller.post(&format!("{path}/cancel")), 404),
        ];
        for (request, success) in calls {
            // Even the right token does not make a foreign page's call good.
            for csrf in [None, Some(console.tokens().csrf.as_str())] {
                let Some(request) = request.try_clone() else {
                    continue;
                };
                let request = with(signed_in(request, &console), &headers);
                let answer = send(match csrf {
                    Some(csrf) => request.header("x-csrf-token", csrf),
                    None => request,
                })
                .await;
                let what = format!("{headers:?}: {}", answer.text);
                if allowed {
                    assert_eq!(answer.status, success, "{what}");
                } else {
                    assert_refused(&answer, 403, "csrf_invalid", &what);
                }
            }
        }
        if !allowed {
            assert_unchanged_by(&before, &deployment, "refused").await;
        }
        let reading = with(signed_in(caller.get(&path), &console), &headers);
        assert_eq!(send(reading).await.status, 200, "reading: {headers:?}");
    }
    finish(deployment).await;
}

fn preflight(caller: &Caller, path: &str, origin: &str) -> RequestBuilder {
    caller
        .request(&Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "content-type,x-csrf-token",
        )
}

fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let text = headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut items: Vec<String> = text
        .split(',')
        .map(|item| item.trim().to_lowercase())
        .filter(|item| !item.is_empty())
        .collect();
    items.sort_unstable();
    items
}

#[tokio::test]
async fn browsers_are_told_whose_pages_may_read_with_cookies() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_ALLOWED_ORIGINS", ALLOWED);
    let deployment = start(builder).await;
    let console = user_with(&deployment, 5).await;
    let caller = Caller::at(deployment.api(0).url());
    let invoices = "/v1/billing/invoices";

    let asked = send(preflight(&caller, invoices, ALLOWED)).await;
    assert!(asked.status < 300, "{}", asked.status);
    assert_eq!(
        list(&asked.headers, "access-control-allow-origin"),
        [ALLOWED]
    );
    assert_eq!(
        list(&asked.headers, "access-control-allow-credentials"),
        ["true"]
    );
    assert_eq!(
        list(&asked.headers, "access-control-allow-methods"),
        ["get", "post"]
    );
    let expected = ["content-type", "x-csrf-token"];
    assert_eq!(
        list(&asked.headers, "access-control-allow-headers"),
        expected
    );

    let read = send(signed_in(
        caller.get("/v1/balance").header("origin", ALLOWED),
        &console,
    ))
    .await;
    assert_eq!(read.status, 200);
    assert_eq!(
        list(&read.headers, "access-control-allow-origin"),
        [ALLOWED]
    );
    assert_eq!(
        list(&read.headers, "access-control-allow-credentials"),
        ["true"]
    );

    for origin in ["https://evil.test", "null", "http://console.example"] {
        let asked = send(preflight(&caller, invoices, origin)).await;
        let reading = caller.get("/v1/balance").header("origin", origin);
        let read = send(signed_in(reading, &console)).await;
        for answer in [asked, read] {
            let told = list(&answer.headers, "access-control-allow-origin");
            assert_eq!(told, Vec::<String>::new(), "{origin}");
        }
    }

    // The operator API is for no page at all.
    let asked = send(preflight(&caller, "/ops/v1/users", ALLOWED)).await;
    assert_eq!(
        list(&asked.headers, "access-control-allow-origin"),
        Vec::<String>::new()
    );
    finish(deployment).await;
}
