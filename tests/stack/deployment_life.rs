//! Deployments from start to finish, on the servers of the test run.

use std::time::Duration;

use nix::unistd::Pid;

use crate::client::ClientError;
use crate::client::console::subscription_invoice;
use crate::client::frames::Frame;
use crate::deployment::{Deployment, DeploymentError};
use crate::offspring::is_alive;
use crate::service::Service;

const LIMIT: Duration = Duration::from_secs(20);

fn pid(service: &Service) -> Pid {
    service.process().pid()
}

#[tokio::test]
async fn deployments_start_side_by_side_and_leave_nothing() {
    let start = || Deployment::builder().apis(0).start();
    let (one, other) = futures::try_join!(start(), start()).expect("both start");
    assert_ne!(one.settings().api_url, other.settings().api_url);
    assert_ne!(one.settings().redis_prefix, other.settings().redis_prefix);
    let pids = [pid(one.worker(0)), pid(other.worker(0))];
    let count = "select count(*) from pg_database where datname like 'quittance_test%'";
    let databases: i64 = sqlx::query_scalar(count)
        .fetch_one(one.pool())
        .await
        .expect("counted");
    assert!(databases >= 2);
    one.finish().await.expect("clean");
    other.finish().await.expect("clean");
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn a_killed_worker_is_no_fault_but_one_that_died_is() {
    let mut deployment = Deployment::builder()
        .apis(0)
        .workers(2)
        .start()
        .await
        .expect("it starts");
    deployment.kill_worker(0).await;
    assert_eq!(deployment.start_worker().await.expect("one more"), 2);
    deployment.worker(1).pause().await.expect("it runs");
    deployment.worker(1).resume().expect("it runs");
    deployment
        .worker(2)
        .wait_for_log("listening", LIMIT)
        .await
        .expect("it said so");
    assert_eq!(deployment.workers().len(), 3);
    deployment.finish().await.expect("clean");

    let deployment = Deployment::builder()
        .apis(0)
        .start()
        .await
        .expect("it starts");
    let victim = pid(deployment.worker(0));
    nix::sys::signal::kill(victim, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    let error = deployment
        .finish()
        .await
        .expect_err("nobody here killed it");
    let message = error.to_string();
    assert!(
        message.contains("quittance-worker ended by itself (signal: 9"),
        "{message}"
    );
}

#[tokio::test]
async fn a_setting_that_does_not_exist_is_told_with_the_processes_own_words() {
    let start = Deployment::builder()
        .apis(0)
        .env("QUITTANCE_NONESUCH", "1")
        .start()
        .await;
    let message = start.err().expect("refused").to_string();
    assert!(
        message.contains("quittance-worker has ended by itself (exit status: 1)"),
        "{message}"
    );
    assert!(
        message.contains("QUITTANCE_NONESUCH is no setting"),
        "{message}"
    );
}

#[tokio::test]
async fn broken_books_are_told() {
    let deployment = Deployment::builder()
        .apis(0)
        .start()
        .await
        .expect("it starts");
    let tamper = "alter table balances disable trigger user;
        insert into users (id) values (gen_random_uuid());
        insert into balances (user_id, amount_micro) select id, 5 from users";
    sqlx::raw_sql(tamper)
        .execute(deployment.pool())
        .await
        .expect("the superuser may");
    let error = deployment.finish().await.expect_err("money from nowhere");
    assert!(matches!(error, DeploymentError::Audit(_)), "{error}");
    assert!(
        error.to_string().contains("1 violations, such as"),
        "{error}"
    );
}

#[tokio::test]
async fn private_servers_can_crash_and_come_back() {
    let start = Deployment::builder()
        .apis(0)
        .private_postgres()
        .private_redis()
        .start();
    let deployment = start.await.expect("it starts");
    let postgres = deployment.private_postgres().expect("its own");
    let redis = deployment.private_redis().expect("its own");
    postgres.kill().await.expect("killed");
    redis.kill().await.expect("killed");
    postgres.start_again().await.expect("back");
    redis.start_again().await.expect("back");
    deployment
        .worker(0)
        .wait_until_ready()
        .await
        .expect("the worker finds them again");
    let mut connection = deployment.redis().await.expect("a connection");
    let pong: String = ::redis::cmd("PING")
        .query_async(&mut connection)
        .await
        .expect("a pong");
    assert_eq!(pong, "PONG");
    deployment.finish().await.expect("clean");
}

#[tokio::test]
async fn a_payment_is_seen_on_both_streams_of_another_api() {
    let deployment = Deployment::builder()
        .apis(2)
        .start()
        .await
        .expect("it starts");
    let here = deployment
        .user_with_balance(100_000_000)
        .await
        .expect("a user");
    let there = here.at(deployment.api(1).url());
    let created = here
        .create_invoice(&subscription_invoice("starter", 1))
        .await
        .expect("answer");
    let id = created.body["id"].as_str().expect("an id").to_owned();
    let mut invoice = there.invoice_stream(&id).await.expect("a stream");
    let mut balance = there.balance_stream().await.expect("a stream");
    let (event, data) = balance
        .next_event(LIMIT)
        .await
        .expect("a frame")
        .expect("open");
    assert_eq!(
        (event.as_str(), data["amount_micro"].as_i64()),
        ("snapshot", Some(100_000_000))
    );

    let paid = here.pay(&id).await.expect("an answer");
    assert_eq!(
        (paid.status, &paid.body["status"]),
        (200, &"paid".into()),
        "{}",
        paid.text
    );
    let frames = invoice
        .collect_until_closed(LIMIT)
        .await
        .expect("the server closes it");
    let names: Vec<&str> = frames.iter().map(Frame::name).collect();
    assert_eq!(names, ["snapshot", "invoice_paid"]);
    let (event, data) = balance
        .next_event(LIMIT)
        .await
        .expect("a frame")
        .expect("open");
    assert_eq!(
        (event.as_str(), &data["new_balance"]),
        ("balance_debit", &paid.body["new_balance_micro"])
    );

    let silence = balance.next(Duration::from_millis(50)).await;
    assert!(matches!(silence, Err(ClientError::Silent(_))));
    deployment.kill_api(1).await;
    assert!(matches!(
        balance.next(LIMIT).await,
        Err(ClientError::Cut(_))
    ));
    assert!(matches!(
        there.balance().await,
        Err(ClientError::NoAnswer { .. })
    ));
    deployment.finish().await.expect("clean");
}

#[tokio::test]
async fn an_open_stream_does_not_hold_up_the_end() {
    let deployment = Deployment::builder().start().await.expect("it starts");
    let user = deployment.user().await.expect("a user");
    let refused = user
        .invoice_stream("inv_0000000000000000")
        .await
        .err()
        .expect("unknown");
    assert!(matches!(refused, ClientError::Unwanted { ref answer, .. } if answer.status == 404));
    let mut stream = user.balance_stream().await.expect("a stream");
    stream
        .next_event(LIMIT)
        .await
        .expect("a frame")
        .expect("open");
    deployment.finish().await.expect("clean");
    assert!(stream.next(LIMIT).await.expect("closed, not cut").is_none());
}

#[tokio::test]
async fn a_deployment_with_a_chain_has_its_own_treasury_and_a_watcher() {
    let start = || Deployment::builder().chain().start();
    let (mut one, other) = futures::try_join!(start(), start()).expect("both start");
    let treasury = one.chain().deposit_address();
    assert_ne!(treasury, other.chain().deposit_address());
    assert_eq!(one.settings().deposit_address, treasury.to_string());
    assert_eq!((one.watchers().len(), one.apis().len()), (1, 1));
    one.kill_watcher(0).await;
    assert_eq!(one.start_watcher().await.expect("one more"), 1);
    one.watcher(1).wait_until_ready().await.expect("ready");
    let last = pid(one.watcher(1));
    futures::try_join!(one.finish(), other.finish()).expect("clean");
    assert!(!is_alive(last));
}

#[tokio::test]
async fn a_private_chain_can_end_without_harm() {
    let start = Deployment::builder().apis(0).watchers(0).private_chain();
    let deployment = start.start().await.expect("it starts");
    let server = deployment.chain().server().expect("its own");
    server.kill().await.expect("it runs");
    server.start_again().await.expect("back");
    deployment.finish().await.expect("clean");
}
