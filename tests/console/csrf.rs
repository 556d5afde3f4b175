//! The double submit of the CSRF token (contract §1.2, §9 C3), in both modes.

use reqwest::RequestBuilder;
use reqwest::header::COOKIE;
use serde_json::json;
use stack::{Answer, Console, Deployment, SessionTokens};

use crate::support::{
    Caller, STARTER, assert_refused, assert_unchanged_by, books, finish, invoice, send, start,
    starter, user, user_with,
};

/// What a call carries: the cookie `nl_csrf` and the header `X-CSRF-Token`, each as one of these.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    None,
    Empty,
    /// The session's own.
    Own,
    /// The one of another live session.
    Foreign,
    Garbage,
    /// The session token itself.
    Session,
}

type Row = (Token, Token, Option<(u16, &'static str)>);

const MISSING: Option<(u16, &str)> = Some((403, "csrf_missing"));
const INVALID: Option<(u16, &str)> = Some((403, "csrf_invalid"));
const FINE: Option<(u16, &str)> = None;

/// Cookie, header, refusal: the same in both modes, because the header is there.
const WITH_HEADER: [Row; 13] = [
    (Token::Own, Token::Own, FINE),
    (Token::Own, Token::Foreign, INVALID),
    (Token::Own, Token::Garbage, INVALID),
    (Token::Own, Token::Empty, INVALID),
    (Token::Own, Token::Session, INVALID),
    (Token::Foreign, Token::Own, INVALID),
    // Both from a sibling domain: equal, but not this session's.
    (Token::Foreign, Token::Foreign, INVALID),
    (Token::Garbage, Token::Garbage, INVALID),
    (Token::Garbage, Token::Own, INVALID),
    (Token::None, Token::Own, MISSING),
    (Token::None, Token::Garbage, MISSING),
    (Token::None, Token::Empty, MISSING),
    (Token::Empty, Token::Own, MISSING),
];

/// The cookie of a call without the header.
const WITHOUT_HEADER: [Token; 5] = [
    Token::None,
    Token::Empty,
    Token::Own,
    Token::Foreign,
    Token::Garbage,
];

struct Tokens<'a> {
    own: &'a SessionTokens,
    foreign: &'a SessionTokens,
}

impl Tokens<'_> {
    fn text(&self, token: Token) -> Option<&str> {
        match token {
            Token::None => None,
            Token::Empty => Some(""),
            Token::Own => Some(&self.own.csrf),
            Token::Foreign => Some(&self.foreign.csrf),
            Token::Garbage => Some("garbage"),
            Token::Session => Some(&self.own.session),
        }
    }

    async fn send(&self, request: RequestBuilder, cookie: Token, header: Token) -> Answer {
        let mut cookies = format!("nl_session={}", self.own.session);
        if let Some(csrf) = self.text(cookie) {
            cookies = format!("{cookies}; nl_csrf={csrf}");
        }
        let request = request.header(COOKIE, cookies);
        send(match self.text(header) {
            Some(csrf) => request.header("X-CSRF-Token", csrf),
            None => request,
        })
        .await
    }
}

/// Every mutating call, with the status of its success.
fn mutating_calls(caller: &Caller, id: &str) -> [(RequestBuilder, u16); 3] {
    let invoice = format!("/v1/billing/invoices/{id}");
    [
        (caller.post("/v1/billing/invoices").json(&starter()), 201),
        (caller.post(&format!("{invoice}/pay-from-balance")), 200),
        // Last, on an invoice that is paid by then: its own 404 says that it was let through.
        (caller.post(&format!("{invoice}/cancel")), 404),
    ]
}

async fn check(deployment: &Deployment, rows: impl IntoIterator<Item = Row>) {
    let console = user_with(deployment, 100 * STARTER).await;
    let other = user(deployment).await;
    let tokens = Tokens {
        own: console.tokens(),
        foreign: other.tokens(),
    };
    let caller = Caller::at(deployment.api(0).url());
    for (cookie, header, refusal) in rows {
        let id = invoice(&console, &starter()).await;
        let before = books(deployment.pool()).await;
        for (request, success) in mutating_calls(&caller, &id) {
            let answer = tokens.send(request, cookie, header).await;
            let what = format!("cookie {cookie:?}, header {header:?}: {}", answer.text);
            match refusal {
                Some((status, error)) => assert_refused(&answer, status, error, &what),
                None => assert_eq!(answer.status, success, "{what}"),
            }
        }
        if refusal.is_some() {
            assert_unchanged_by(&before, deployment, "refused").await;
        }
        let reading = caller.get(&format!("/v1/billing/invoices/{id}"));
        let read = tokens.send(reading, cookie, header).await;
        assert_eq!(
            read.status, 200,
            "reading with cookie {cookie:?}, header {header:?}"
        );
    }
    // No session, no verdict about its tokens.
    for request in [
        caller.post("/v1/billing/invoices"),
        caller.post("/v1/billing/invoices/x/cancel"),
    ] {
        let anonymous = send(request.header("X-CSRF-Token", "garbage")).await;
        assert_refused(&anonymous, 401, "auth required", "no session");
    }
}

fn roomy() -> stack::deployment::Builder {
    Deployment::builder().env("QUITTANCE_INVOICES_PENDING_MAX", "1000")
}

#[tokio::test]
async fn by_default_the_header_is_checked_where_it_is_sent() {
    let deployment = start(roomy()).await;
    let without = WITHOUT_HEADER.map(|cookie| (cookie, Token::None, FINE));
    check(&deployment, WITH_HEADER.into_iter().chain(without)).await;
    finish(deployment).await;
}

#[tokio::test]
async fn where_the_header_is_required_it_must_be_there() {
    let deployment = start(roomy().env("QUITTANCE_CSRF_HEADER_REQUIRED", "true")).await;
    let without = WITHOUT_HEADER.map(|cookie| {
        let is_missing = matches!(cookie, Token::None | Token::Empty);
        (
            cookie,
            Token::None,
            if is_missing { MISSING } else { INVALID },
        )
    });
    check(&deployment, WITH_HEADER.into_iter().chain(without)).await;
    finish(deployment).await;
}

#[tokio::test]
async fn the_token_of_another_session_of_the_same_user_is_not_this_ones() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    let other = deployment
        .operator()
        .create_session(console.user_id())
        .await
        .expect("a session");
    let url = deployment.api(0).url();
    let mixed = SessionTokens {
        csrf: other.csrf,
        ..console.tokens().clone()
    };
    let mixed = Console::new(url, console.user_id(), mixed).expect("a client");
    let answer = mixed.create_invoice(&starter()).await.expect("an answer");
    assert_refused(&answer, 403, "csrf_invalid", "mixed tokens");
    let good = console.create_invoice(&starter()).await.expect("an answer");
    assert_eq!(
        (good.status, &good.body["status"]),
        (201, &json!("pending"))
    );
    finish(deployment).await;
}
