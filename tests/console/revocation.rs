//! Sessions end within a second, on every api process, with their open streams.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use stack::{Console, Deployment, Frames};

use crate::support::{
    LIMIT, assert_refused, assert_unchanged_by, books, event, finish, invoice, start, starter,
    until, user,
};

/// A second, and what a busy machine may add to it. Without a look at its session, a stream would live for weeks.
const SOON: Duration = Duration::from_secs(10);

async fn balance_status(console: &Console) -> u16 {
    console.balance().await.expect("an answer").status
}

async fn stream(console: &Console) -> Frames {
    let mut stream = console.balance_stream().await.expect("a stream");
    assert_eq!(event(&mut stream).await.0, "snapshot");
    stream
}

/// Nothing may be said before the end, and the end must come soon after this moment.
async fn assert_ends(stream: &mut Frames, since: Instant, what: &str) {
    let rest = stream
        .collect_until_closed(LIMIT)
        .await
        .expect("the stream ends");
    assert!(since.elapsed() < SOON, "{what} took {:?}", since.elapsed());
    assert_eq!(rest, [], "{what}");
}

async fn assert_locked_out(console: &Console, since: Instant, what: &str) {
    let is_out = async || (balance_status(console).await == 401).then_some(());
    until(what, LIMIT, is_out).await;
    assert!(since.elapsed() < SOON, "{what} took {:?}", since.elapsed());
    let answer = console.balance().await.expect("an answer");
    assert_refused(&answer, 401, "auth required", what);
}

async fn assert_may_do_nothing(console: &Console, id: &str) {
    let created = console.create_invoice(&starter()).await.expect("an answer");
    assert_refused(&created, 401, "auth required", "creating");
    let paid = console.pay(id).await.expect("an answer");
    assert_refused(&paid, 401, "auth required", "paying");
    let stream = console.balance_stream().await;
    let refused = stream.err().expect("refused").to_string();
    assert!(refused.contains("401"), "{refused}");
}

#[tokio::test]
async fn a_revocation_is_felt_everywhere_within_a_second() {
    let deployment = start(Deployment::builder().apis(2).workers(0)).await;
    let console = user(&deployment).await;
    let id = invoice(&console, &starter()).await;
    let tokens = deployment
        .operator()
        .create_session(console.user_id())
        .await
        .expect("a session");
    let url = deployment.api(1).url();
    let second = Console::new(url, console.user_id(), tokens).expect("a client");
    let elsewhere = console.at(url);
    let bystander = user(&deployment).await.at(url);
    // Every process has just seen that the sessions live.
    for console in [&console, &elsewhere, &second, &bystander] {
        assert_eq!(balance_status(console).await, 200);
    }
    let mut streams = [
        stream(&console).await,
        stream(&elsewhere).await,
        stream(&second).await,
    ];
    let mut of_invoice = elsewhere.invoice_stream(&id).await.expect("a stream");
    assert_eq!(event(&mut of_invoice).await.0, "snapshot");
    let mut of_bystander = stream(&bystander).await;

    let path = format!("/ops/v1/users/{}/sessions", console.user_id());
    let revoked = deployment
        .operator()
        .raw(Method::DELETE, &path, None)
        .await
        .expect("an answer");
    let since = Instant::now();
    assert_eq!((revoked.status, revoked.body), (200, json!({"revoked": 2})));
    let before = books(deployment.pool()).await;
    futures::join!(
        assert_locked_out(&console, since, "the first api"),
        assert_locked_out(&elsewhere, since, "the second api"),
        assert_locked_out(&second, since, "the other session"),
    );
    let [one, two, three] = &mut streams;
    futures::join!(
        assert_ends(one, since, "a stream of the first api"),
        assert_ends(two, since, "a stream of the second api"),
        assert_ends(three, since, "a stream of the other session"),
        assert_ends(&mut of_invoice, since, "a stream of an invoice"),
    );
    for console in [&console, &elsewhere, &second] {
        assert_may_do_nothing(console, &id).await;
    }
    assert_unchanged_by(&before, &deployment, "revoked").await;

    // Nobody else is affected, and the user may sign in again.
    let operator = deployment.operator();
    operator
        .adjust(bystander.user_id(), 5, "still there", "a")
        .await
        .expect("adjusted");
    assert_eq!(event(&mut of_bystander).await.0, "balance_credit");
    let tokens = operator
        .create_session(console.user_id())
        .await
        .expect("a session");
    let again = Console::new(url, console.user_id(), tokens).expect("a client");
    assert_eq!(balance_status(&again).await, 200);
    finish(deployment).await;
}

#[tokio::test]
async fn a_session_that_runs_out_ends_like_one_that_is_revoked() {
    let deployment = start(Deployment::builder().apis(2).workers(0)).await;
    let console = user(&deployment).await;
    let elsewhere = console.at(deployment.api(1).url());
    assert_eq!(balance_status(&elsewhere).await, 200);
    let mut streams = [stream(&console).await, stream(&elsewhere).await];
    let moved = sqlx::query("update sessions set expires_at = now() where user_id = $1")
        .bind(console.user_id())
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    let since = Instant::now();
    assert_eq!(moved.rows_affected(), 1);
    let [one, two] = &mut streams;
    futures::join!(
        assert_locked_out(&console, since, "the first api"),
        assert_locked_out(&elsewhere, since, "the second api"),
        assert_ends(one, since, "a stream of the first api"),
        assert_ends(two, since, "a stream of the second api"),
    );
    finish(deployment).await;
}
