//! How many calls one user may make.

use std::time::Instant;

use reqwest::header::RETRY_AFTER;
use stack::{Answer, Console, Deployment};

use crate::support::{
    Caller, LIMIT, assert_refused, assert_unchanged_by, books, finish, send, start, starter, until,
    user,
};

async fn list(console: &Console) -> Answer {
    console.list_invoices("").await.expect("an answer")
}

fn assert_limited(answer: &Answer, what: &str) {
    assert_refused(answer, 429, "rate_limited", what);
    let seconds = answer
        .headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let seconds: u64 = seconds
        .and_then(|text| text.parse().ok())
        .expect("whole seconds");
    assert!(seconds >= 1, "{what}: {seconds}");
}

#[tokio::test]
async fn a_user_who_asks_too_often_has_to_wait() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_RATE_PER_USER_PER_SECOND", "1")
        .env("QUITTANCE_RATE_PER_USER_BURST", "3");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let tokens = deployment
        .operator()
        .create_session(console.user_id())
        .await
        .expect("a session");
    let url = deployment.api(0).url();
    let second_session = Console::new(url, console.user_id(), tokens).expect("a client");
    let other = user(&deployment).await;
    let begun = Instant::now();
    let calls = futures::future::join_all((0..8).map(|_| list(&console))).await;
    // One more for each second that has passed on a busy machine.
    let more = usize::try_from(begun.elapsed().as_secs()).expect("few") + 1;
    let good = calls.iter().filter(|answer| answer.status == 200).count();
    assert!((3..=3 + more).contains(&good), "{calls:?}");
    for answer in calls.iter().filter(|answer| answer.status != 200) {
        assert_limited(answer, "reading");
    }

    let before = books(deployment.pool()).await;
    let body = starter();
    let attempts = (0..8).map(|_| second_session.create_invoice(&body));
    let mut answers = Vec::new();
    for answer in futures::future::join_all(attempts).await {
        answers.push(answer.expect("an answer"));
    }
    let refused: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.status != 201)
        .collect();
    let more = usize::try_from(begun.elapsed().as_secs()).expect("few") + 1;
    let good = good + answers.len() - refused.len();
    assert!(good <= 3 + more && !refused.is_empty(), "{answers:?}");
    for answer in &refused {
        assert_limited(answer, "creating, in another session of the user");
    }
    if refused.len() == answers.len() {
        assert_unchanged_by(&before, &deployment, "refused").await;
    }

    // Others are not held up, and what needs no session has no limit here.
    assert_eq!(list(&other).await.status, 200);
    let caller = Caller::at(url);
    for _ in 0..8 {
        assert_eq!(send(caller.get("/v1/billing/rails")).await.status, 200);
        let anonymous = send(caller.get("/v1/balance")).await;
        assert_refused(&anonymous, 401, "auth required", "no session");
    }
    let waited = async || (list(&console).await.status == 200).then_some(());
    until("a second later", LIMIT, waited).await;
    finish(deployment).await;
}

#[tokio::test]
async fn zero_switches_the_limit_off() {
    let builder = Deployment::builder()
        .workers(0)
        .env("QUITTANCE_RATE_PER_USER_PER_SECOND", "0")
        .env("QUITTANCE_RATE_PER_USER_BURST", "0");
    let deployment = start(builder).await;
    let console = user(&deployment).await;
    let calls = futures::future::join_all((0..50).map(|_| list(&console))).await;
    assert!(calls.iter().all(|answer| answer.status == 200), "{calls:?}");
    finish(deployment).await;
}
