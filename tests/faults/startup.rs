//! Starting on a database that is empty, old, or being migrated by several at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::PgPool;
use stack::database::{API_LOGIN, DatabaseServer, WATCHER_LOGIN, WORKER_LOGIN};
use stack::deployment::{POSTGRES_URL, REDIS_URL};
use stack::secret::{random_deposit_address, random_name, random_token};
use stack::service::{API, WORKER, run_audit, run_worker_command};
use stack::settings::{ANY_PORT, Settings};
use stack::{Postgres, Service};

use crate::support::wait::turn_to_kill_servers;
use crate::support::world::{create_invoice, quick};

fn of_test_run(variable: &str) -> String {
    std::env::var(variable).expect("run through `stack test`")
}

fn settings(server: &DatabaseServer, database: &str) -> Settings {
    Settings {
        owner_url: server.superuser_url(database),
        api_url: server.login_url(API_LOGIN, database).unwrap(),
        worker_url: server.login_url(WORKER_LOGIN, database).unwrap(),
        watcher_url: server.login_url(WATCHER_LOGIN, database).unwrap(),
        redis_url: of_test_run(REDIS_URL),
        redis_prefix: random_name("test"),
        operator_token: random_token(),
        deposit_address: random_deposit_address(),
        chain: None,
        extra: BTreeMap::new(),
    }
}

/// What a process says that may not start.
async fn words_of_refusal(program: &str, environment: &BTreeMap<String, String>) -> String {
    match Service::start(program, environment, None).await {
        Ok(_) => panic!("{program} started"),
        Err(error) => error.to_string(),
    }
}

async fn assert_asks_to_migrate(settings: &Settings) {
    for (program, environment) in [
        (API, settings.for_api(ANY_PORT)),
        (WORKER, settings.for_worker(ANY_PORT)),
    ] {
        let words = words_of_refusal(program, &environment).await;
        assert!(words.contains("has ended by itself"), "{words}");
        assert!(
            words.contains("quittance-worker migrate"),
            "{program} said: {words}"
        );
    }
}

#[tokio::test]
async fn on_an_empty_database_every_process_says_to_migrate() {
    let server = DatabaseServer::new(&of_test_run(POSTGRES_URL)).unwrap();
    let database = random_name("quittance_test");
    server.create_if_missing(&database).await.unwrap();
    assert_asks_to_migrate(&settings(&server, &database)).await;
    server.drop_database(&database).await.unwrap();
}

#[tokio::test]
async fn on_an_old_database_every_process_says_to_migrate() {
    let server = DatabaseServer::new(&of_test_run(POSTGRES_URL)).unwrap();
    let database = random_name("quittance_test");
    server.clone_template(&database).await.unwrap();
    let pool = server.pool(&database).await.unwrap();
    let newest =
        "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(newest).execute(&pool).await.unwrap();
    pool.close().await;
    assert_asks_to_migrate(&settings(&server, &database)).await;
    server.drop_database(&database).await.unwrap();
}

/// A migrated database on which a statement was carried out.
async fn changed(server: &DatabaseServer, statement: &'static str) -> String {
    let database = random_name("quittance_test");
    server.clone_template(&database).await.unwrap();
    let pool = server.pool(&database).await.unwrap();
    sqlx::query(statement).execute(&pool).await.unwrap();
    pool.close().await;
    database
}

#[tokio::test]
async fn without_its_functions_every_process_says_to_migrate_and_migrating_brings_them() {
    let server = DatabaseServer::new(&of_test_run(POSTGRES_URL)).unwrap();
    let database = changed(
        &server,
        "update function_files set checksum = '\\x00' where name = 'ledger'",
    )
    .await;
    let settings = settings(&server, &database);
    assert_asks_to_migrate(&settings).await;
    run_worker_command("migrate", &settings.for_owner())
        .await
        .unwrap();
    let worker = Service::start_worker(&settings, None).await.unwrap();
    assert!(worker.terminate().await.unwrap().success());
    server.drop_database(&database).await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_history_is_refused_and_left_alone() {
    let server = DatabaseServer::new(&of_test_run(POSTGRES_URL)).unwrap();
    let database = changed(
        &server,
        "update _sqlx_migrations set checksum = '\\x00' where version = 1",
    )
    .await;
    let settings = settings(&server, &database);
    let words = words_of_refusal(API, &settings.for_api(ANY_PORT)).await;
    assert!(words.contains("make clean"), "{words}");
    let refused = run_worker_command("migrate", &settings.for_owner()).await;
    let words = refused.unwrap_err().to_string();
    assert!(
        words.contains("another history") && words.contains("make clean"),
        "{words}"
    );
    server.drop_database(&database).await.unwrap();
}

/// A migration that waits for a table would have everybody wait behind it.
#[tokio::test]
async fn a_migration_that_gets_no_lock_stops_no_payments_and_ends_once_it_does() {
    let deployment = quick().start().await.unwrap();
    let console = deployment
        .user_with_balance(1_000_000_000_000)
        .await
        .unwrap();
    let pool = deployment.pool();
    sqlx::query("update function_files set checksum = '\\x00' where name = 'invoices'")
        .execute(pool)
        .await
        .unwrap();
    let mut long = pool.begin().await.unwrap();
    sqlx::query("lock table invoices in row exclusive mode")
        .execute(&mut *long)
        .await
        .unwrap();
    let owner = deployment.settings().for_owner();
    let migration = tokio::spawn(async move { run_worker_command("migrate", &owner).await });
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let id = create_invoice(&console).await;
        let answer = console.pay(&id).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert!(!migration.is_finished());
    long.rollback().await.unwrap();
    migration.await.unwrap().unwrap();
    deployment.finish().await.unwrap();
}

async fn migrations(pool: &PgPool) -> Vec<(i64, bool)> {
    sqlx::query_as("select version, success from _sqlx_migrations order by version")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn five_migrations_at_once_of_an_empty_cluster_all_succeed() {
    let _turn = turn_to_kill_servers().await;
    let postgres = Postgres::temporary(60).await.unwrap();
    let server = DatabaseServer::new(&postgres.url_superuser("postgres")).unwrap();
    // Two databases: the roles belong to the whole cluster, so their migrations meet there.
    let databases = ["one", "two"];
    for database in databases {
        server.create_if_missing(database).await.unwrap();
    }
    let all: Vec<Settings> = databases
        .iter()
        .map(|name| settings(&server, name))
        .collect();
    let runs = all
        .iter()
        .flat_map(|one| (0..5).map(move |_| one.for_owner()));
    let runs = runs.map(async |environment| run_worker_command("migrate", &environment).await);
    for outcome in join_all(runs).await {
        outcome.unwrap();
    }
    server.create_logins().await.unwrap();
    for (database, settings) in databases.iter().zip(&all) {
        let pool = server.pool(database).await.unwrap();
        let applied = migrations(&pool).await;
        assert!(
            applied.len() >= 7 && applied.iter().all(|(_, success)| *success),
            "{applied:?}"
        );
        pool.close().await;
        let audit = run_audit(&settings.for_owner()).await.unwrap();
        assert_eq!(audit["ok"], true, "{audit:#}");
        let worker = Service::start_worker(settings, None).await.unwrap();
        let api = Service::start_api(settings, ANY_PORT, None).await.unwrap();
        api.wait_until_ready().await.unwrap();
        assert!(api.terminate().await.unwrap().success());
        assert!(worker.terminate().await.unwrap().success());
    }
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn migrating_again_under_running_processes_changes_nothing() {
    let deployment = quick().start().await.unwrap();
    let before = migrations(deployment.pool()).await;
    run_worker_command("migrate", &deployment.settings().for_owner())
        .await
        .unwrap();
    assert_eq!(migrations(deployment.pool()).await, before);
    assert!(deployment.user_with_balance(5).await.is_ok());
    deployment.finish().await.unwrap();
}
