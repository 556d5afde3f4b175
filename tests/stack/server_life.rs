//! How the private servers live and die: through crashes, frozen, and with their parent.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ::redis::AsyncCommands;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};

use crate::account::Account;
use crate::chain::ChainServer;
use crate::chain::server::SLOT;
use crate::offspring::{all_gone, children_of, is_alive};
use crate::postgres::{Postgres, PostgresError};
use crate::redis::{Redis, RedisError};
use crate::temporary_folder::TemporaryFolder;

const CONNECTIONS: u16 = 20;
const GONE: Duration = Duration::from_secs(20);
const HELD: &str = "QUITTANCE_TEST_HOLDS_SERVERS";

async fn connect(postgres: &Postgres) -> PgConnection {
    let url = postgres.url_superuser("postgres");
    PgConnection::connect(&url).await.expect("a connection")
}

async fn count(postgres: &Postgres) -> i64 {
    let mut connection = connect(postgres).await;
    let count = sqlx::query_scalar("select count(*) from kept").fetch_one(&mut connection);
    count.await.expect("a count")
}

fn family(postgres: &Postgres) -> Vec<Pid> {
    let pid = postgres.process().expect("it runs").pid();
    let mut family = children_of(pid);
    assert!(!family.is_empty(), "a Postgres has children");
    family.push(pid);
    family
}

#[tokio::test]
async fn postgres_comes_back_after_a_crash_with_what_was_committed() {
    let postgres = Postgres::temporary(CONNECTIONS).await.expect("it starts");
    let mut connection = connect(&postgres).await;
    let create = "create table kept as select 1 as one";
    sqlx::raw_sql(create)
        .execute(&mut connection)
        .await
        .expect("committed");
    let port = postgres.port();
    let family = family(&postgres);

    postgres.kill().await.expect("killed");
    assert!(family.iter().all(|pid| !is_alive(*pid)), "nobody survives");
    assert!(
        sqlx::raw_sql("select 1")
            .execute(&mut connection)
            .await
            .is_err()
    );
    assert!(matches!(
        postgres.kill().await,
        Err(PostgresError::WrongMoment(_))
    ));

    postgres.start_again().await.expect("it starts again");
    assert_eq!((postgres.port(), count(&postgres).await), (port, 1));
    postgres.stop().await.expect("it stops");
    postgres.start_again().await.expect("it starts once more");
    assert_eq!(count(&postgres).await, 1);
}

#[tokio::test]
async fn postgres_keeps_its_data_and_password_in_its_folder() {
    let account = Account::for_servers().expect("an account");
    let folder = TemporaryFolder::create(&account).expect("a folder");
    let data = folder.path().join("postgres");
    let first = Postgres::start(&data, &account, CONNECTIONS, None)
        .await
        .expect("it starts");
    let mut connection = connect(&first).await;
    let create = "create table kept as select 1 as one";
    sqlx::raw_sql(create)
        .execute(&mut connection)
        .await
        .expect("committed");
    let family = family(&first);
    drop(first);
    assert!(
        all_gone(&family, Duration::ZERO).await,
        "dropping ends every process"
    );

    let log = folder.path().join("log");
    let second = Postgres::start(&data, &account, CONNECTIONS, Some(&log))
        .await
        .expect("again");
    assert_eq!(count(&second).await, 1);
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(said.contains("ready to accept connections"), "{said}");
    drop(second);

    std::fs::remove_file(data.join("password")).expect("removed");
    let error = Postgres::start(&data, &account, CONNECTIONS, None)
        .await
        .err();
    let message = error.expect("nobody can log in").to_string();
    assert!(message.contains("password is gone"), "{message}");
}

#[tokio::test]
async fn a_frozen_postgres_does_not_answer_until_it_goes_on() {
    let postgres = Postgres::temporary(CONNECTIONS).await.expect("it starts");
    let mut connection = connect(&postgres).await;
    postgres.pause().await.expect("frozen");
    let silent = Duration::from_millis(300);
    let answer = sqlx::raw_sql("select 1").execute(&mut connection);
    assert!(tokio::time::timeout(silent, answer).await.is_err());
    postgres.resume().expect("thawed");
    sqlx::raw_sql("select 1")
        .execute(&mut connect(&postgres).await)
        .await
        .expect("an answer");
    // A frozen server must not make its owner hang.
    postgres.pause().await.expect("frozen");
    let family = family(&postgres);
    drop(postgres);
    assert!(all_gone(&family, GONE).await);
}

#[tokio::test]
async fn redis_comes_back_empty_on_its_port() {
    let redis = Redis::temporary().await.expect("it starts");
    let open = async || {
        let client = ::redis::Client::open(redis.url()).expect("a URL");
        client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection")
    };
    open().await.set::<_, _, ()>("key", 1).await.expect("set");
    let pid = redis.process().expect("it runs").pid();
    redis.kill().await.expect("killed");
    assert!(!is_alive(pid));
    assert!(matches!(
        redis.stop().await,
        Err(RedisError::WrongMoment(_))
    ));
    redis.start_again().await.expect("it starts again");
    let value: Option<i64> = open().await.get("key").await.expect("get");
    assert_eq!(value, None);
    redis.pause().await.expect("frozen");
    redis.resume().expect("thawed");
    redis.stop().await.expect("it stops");
}

#[tokio::test]
async fn redis_lets_nobody_in_without_the_password() {
    let redis = Redis::temporary().await.expect("it starts");
    let url = format!("redis://127.0.0.1:{}/0", redis.port());
    let client = ::redis::Client::open(url).expect("a URL");
    let entered = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        connection.get::<_, Option<String>>("key").await
    };
    let error = entered
        .await
        .expect_err("no password, no entry")
        .to_string();
    assert!(
        error.contains("NOAUTH") || error.contains("Authentication"),
        "{error}"
    );
}

/// Not a test of its own: `servers_end_with_a_parent_that_is_killed` runs it in a process that it
/// then kills.
#[tokio::test]
#[ignore = "holds servers for another test"]
async fn hold_servers() {
    if env::var_os(HELD).is_none() {
        return;
    }
    let postgres = Postgres::temporary(CONNECTIONS).await.expect("it starts");
    let redis = Redis::temporary().await.expect("it starts");
    for pid in family(&postgres) {
        println!("pid {pid}");
    }
    println!("pid {}", redis.process().expect("it runs").pid());
    let chain = ChainServer::start(SLOT, None).await.expect("it starts");
    println!("pid {}", chain.process().expect("it runs").pid());
    println!("held");
    tokio::time::sleep(Duration::from_mins(5)).await;
}

#[tokio::test]
async fn servers_end_with_a_parent_that_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("our own folder");
    let mut parent = Command::new(env::current_exe().expect("ourselves"))
        .args([
            "server_life::hold_servers",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(HELD, "1")
        // A killed parent cannot clean up, so this test does.
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(parent.stdout.take().expect("a pipe"));
    let lines = output
        .lines()
        .map_while(Result::ok)
        .take_while(|line| line != "held");
    let pids: Vec<Pid> = lines
        .filter_map(|line| line.strip_prefix("pid ")?.parse().ok())
        .map(Pid::from_raw)
        .collect();
    assert!(
        pids.len() > 2 && pids.iter().all(|pid| is_alive(*pid)),
        "{pids:?}"
    );

    let parent_pid = Pid::from_raw(i32::try_from(parent.id()).expect("a process id"));
    let killed = Instant::now();
    kill(parent_pid, Signal::SIGKILL).expect("it runs");
    parent.wait().expect("it was ours");
    assert!(
        all_gone(&pids, GONE).await,
        "left over after {:?}",
        killed.elapsed()
    );
}
