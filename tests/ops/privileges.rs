//! Least privilege: what the processes' own database roles may not do, whatever their programs try.

use sqlx::{Connection, PgConnection};
use stack::{Console, Deployment};

use crate::chain_books::{record, register};
use crate::chain_privileges::{CHAIN, NOT_THE_WATCHER, WATCHER_ONLY};
use crate::support::{STARTER, everything, finish, invoice, start, user_with};

/// No role may write what only the settlement functions write.
const ALL: &[&str] = &[
    "update balances set amount_micro = amount_micro + 1",
    "update balances set locked_at = now()",
    "update balances set last_transfer_id = 0",
    "insert into balances (user_id, amount_micro) select id, 5 from users",
    "delete from balances",
    "truncate balances",
    "insert into transfers (debit_account, credit_account, amount_micro, kind, at)
     values ('a', 'b', 5, 'adjust', now())",
    "update transfers set amount_micro = 1",
    "delete from transfers",
    "truncate transfers cascade",
    "update invoices set status = 'paid', paid_at = now(), processed_at = now()",
    "update invoices set status = 'cancelled'",
    "update invoices set amount_micro = 1",
    "update invoices set user_id = user_id",
    "update invoices set expires_at = now() + interval '1 year'",
    "update invoices set grace_until = now() + interval '1 year'",
    "update invoices set payments_received_micro = amount_micro",
    "insert into invoices (id, user_id, status, amount_micro, channel, rail, action, address,
                           reference_pubkey, expires_at, grace_until)
     select 'inv_0000000000000001', id, 'cancelled', 5, 'crypto-onchain', 'x', 'topup', 'x', 'x', now(), now()
     from users",
    "delete from invoices",
    "truncate invoices",
    "insert into outbox_batches (topics, messages) values (array['x'], array['{}'])",
    "update outbox_batches set published_at = now()",
    "update outbox_batches set topics = array['x'], messages = array['{}']",
    "truncate outbox_batches",
    "delete from outbox_batches",
    "insert into subscriptions (user_id, plan, anchor_at, months_total, months_purchased, active_until,
                                updated_at)
     select id, 'scale', now(), 1, 1, now(), now() from users",
    "update subscriptions set active_until = now() + interval '9 years'",
    "delete from subscriptions",
    "insert into adjustments (user_id, idempotency_key, delta_micro, reason, transfer_id)
     select user_id, 'k', 1, 'r', id from transfers",
    "update adjustments set delta_micro = 1",
    "delete from adjustments",
    "update operator_actions set outcome = 'done'",
    "delete from operator_actions",
    "truncate operator_actions",
    "update sweep_cursors set at = now()",
    "delete from users",
    "update users set id = gen_random_uuid()",
    "update sessions set user_id = gen_random_uuid()",
    "update sessions set token_hash = csrf_hash",
    "delete from parked_jobs",
    "update parked_jobs set payload = 'x'",
    "update _sqlx_migrations set success = false",
    "delete from _sqlx_migrations",
    "select emit_events(array['balance:x'], array['{}'::jsonb])",
    "select keep_events(array['balance:x'], array['{}'])",
];

/// No role may change the schema, or what guards it.
const DEFINITIONS: &[&str] = &[
    "create table mine (id int)",
    "create view mine as select * from balances",
    "create schema mine",
    "create function mine() returns int language sql as 'select 1'",
    "create type mine as enum ('a')",
    "create sequence mine",
    "create extension pgcrypto",
    "create role mine",
    "create index mine on balances (amount_micro)",
    "create trigger mine before update on balances for each row execute function refuse_change()",
    "create or replace function user_delta_micro(t transfers) returns bigint language sql as 'select 0::bigint'",
    "alter table balances add column mine int",
    "alter table balances drop constraint balances_amount_not_negative",
    "alter table transfers disable trigger user",
    "alter table transfers owner to current_user",
    "alter function settle_from_balance(text[], uuid[], text[]) security invoker",
    "alter role current_user superuser",
    "alter role current_user createrole",
    "drop table outbox_batches cascade",
    "drop view outbox",
    "drop table balances cascade",
    "drop index transfers_invoice_debit",
    "drop trigger transfers_immutable on transfers",
    "drop function refuse_change() cascade",
    "comment on table balances is 'mine'",
    "select setval('transfers_id_seq', 1)",
    "select nextval('transfers_id_seq')",
    "set session_replication_role = replica",
    "set role postgres",
    "copy balances to program 'true'",
    "copy balances to '/tmp/quittance-privileges'",
    "select pg_read_file('/etc/passwd')",
    "select * from pg_authid",
];

/// What only the worker does.
const NOT_THE_API: &[&str] = &[
    "select settle_from_balance(array[]::text[], array[]::uuid[], array[]::text[])",
    "select settle_one_from_balance('inv_0123456789abcdef', '00000000-0000-0000-0000-000000000000', 't')",
    "select expire_invoices(10, 't')",
    "select retire_events(now(), 10)",
    "select retire_submissions(now(), 10)",
    "select * from unpublished_events(interval '1 second', 10)",
    "insert into parked_jobs (queue, entry_id, payload, reason, deliveries) values ('pay', 'x', 'x', 'x', 1)",
    "update relay_transactions set state = 'finalized'",
    "update relay_transactions set absences = 0",
    "insert into reconciliations (account, at, slot, theirs, ours) select account, now(), 1, 1, 1 from deposit_accounts",
    "update reconciliations set theirs = ours",
];

/// What only the api does.
const NOT_THE_WORKER: &[&str] = &[
    "select adjust_balance((select id from users limit 1), 5, 'r', 'k', 't')",
    "select set_balance_lock((select id from users limit 1), true)",
    "select cancel_invoice((select id from invoices limit 1), (select user_id from invoices limit 1), 't')",
    "insert into users (id) values (gen_random_uuid())",
    "insert into balances (user_id) values (gen_random_uuid())",
    "insert into invoices (id, user_id, amount_micro, channel, rail, action, address, reference_pubkey,
                           created_at, expires_at, grace_until)
     select 'inv_0000000000000001', id, 5, 'crypto-onchain', 'x', 'topup', 'x', 'x', now(),
            now() + interval '1 hour', now() + interval '1 hour' from users limit 1",
    "insert into sessions (token_hash, csrf_hash, user_id, expires_at)
     select token_hash, csrf_hash, user_id, expires_at from sessions",
    "update sessions set expires_at = now()",
    "insert into operator_actions (action, target, detail, outcome, trace_id) values ('a', 'b', '{}', 'c', 'd')",
    "update parked_jobs set resolved_at = now(), resolution = 'discarded'",
    "insert into paused_queues (queue) values ('pay')",
    "delete from paused_queues",
    "update users set created_at = now()",
    "select attribute_deposit(1, 'inv_0000000000000001', 'n', null, 't')",
    "update unattributed_deposits set resolved_at = now(), resolution = 'dismissed'",
    "select store_submission('inv_0000000000000001', 's', '', 1, 1)",
    "select note_submission('inv_0000000000000001', 's', 1)",
];

/// SQLSTATE `insufficient_privilege`.
const REFUSED: &str = "42501";

/// Runs each statement on its own; whatever it may do is rolled back.
async fn assert_all_refused(url: &str, statements: impl Iterator<Item = &&'static str>) {
    let mut connection = PgConnection::connect(url)
        .await
        .expect("the role may log in");
    let role: String = sqlx::query_scalar("select current_user::text")
        .fetch_one(&mut connection)
        .await
        .expect("an answer");
    for statement in statements {
        let mut transaction = connection.begin().await.expect("a transaction");
        let done = sqlx::raw_sql(*statement).execute(&mut *transaction).await;
        let code = match &done {
            Ok(_) => "it was done".to_owned(),
            Err(error) => error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .map_or_else(|| error.to_string(), |code| format!("{code}: {error}")),
        };
        assert!(code.starts_with(REFUSED), "{role}: {statement}\n{code}");
        transaction.rollback().await.expect("rolled back");
    }
    connection.close().await.expect("closed");
}

/// Rows in every table that the statements are about.
async fn busy() -> (Deployment, Console) {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, 2 * STARTER).await;
    let id = invoice(&console).await;
    assert_eq!(console.pay(&id).await.expect("an answer").status, 200);
    let part = invoice(&console).await;
    register(&deployment).await;
    record(deployment.pool(), "part", &[(&part, 5)], 3).await;
    (deployment, console)
}

#[tokio::test]
async fn the_api_may_only_do_its_own_work() {
    let (deployment, _) = busy().await;
    let before = everything(deployment.pool()).await;
    let statements = ALL
        .iter()
        .chain(CHAIN)
        .chain(DEFINITIONS)
        .chain(NOT_THE_API)
        .chain(WATCHER_ONLY);
    assert_all_refused(&deployment.settings().api_url, statements).await;
    assert_eq!(everything(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn the_worker_may_only_do_its_own_work() {
    let (deployment, _) = busy().await;
    let before = everything(deployment.pool()).await;
    let statements = ALL
        .iter()
        .chain(CHAIN)
        .chain(DEFINITIONS)
        .chain(NOT_THE_WORKER)
        .chain(WATCHER_ONLY);
    assert_all_refused(&deployment.settings().worker_url, statements).await;
    assert_eq!(everything(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn the_watcher_may_only_do_its_own_work() {
    let (deployment, _) = busy().await;
    let before = everything(deployment.pool()).await;
    let statements = ALL.iter().chain(CHAIN).chain(DEFINITIONS);
    let statements = statements
        .chain(NOT_THE_API)
        .chain(NOT_THE_WORKER)
        .chain(NOT_THE_WATCHER);
    assert_all_refused(&deployment.settings().watcher_url, statements).await;
    assert_eq!(everything(deployment.pool()).await, before);
    finish(deployment).await;
}

#[tokio::test]
async fn the_processes_use_these_roles_and_the_roles_are_plain() {
    let (deployment, _) = busy().await;
    let mut roles: Vec<(String, String)> = sqlx::query_as(
        "select distinct application_name, usename::text from pg_stat_activity
         where datname = current_database() and application_name like 'quittance-%'",
    )
    .fetch_all(deployment.pool())
    .await
    .expect("the sessions");
    roles.sort();
    let expected = [
        ("quittance-api".to_owned(), "quittance_api_login".to_owned()),
        (
            "quittance-worker".to_owned(),
            "quittance_worker_login".to_owned(),
        ),
    ];
    assert_eq!(roles, expected);
    let special: i64 = sqlx::query_scalar(
        "select count(*) from pg_roles where rolname like 'quittance%'
         and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)",
    )
    .fetch_one(deployment.pool())
    .await
    .expect("a count");
    assert_eq!(special, 0);
    let mut memberships: Vec<(String, String)> = sqlx::query_as(
        "select m.rolname::text, g.rolname::text from pg_auth_members a
         join pg_roles m on m.oid = a.member join pg_roles g on g.oid = a.roleid
         where m.rolname like 'quittance%'",
    )
    .fetch_all(deployment.pool())
    .await
    .expect("the memberships");
    memberships.sort();
    let expected = [
        ("quittance_api_login".to_owned(), "quittance_api".to_owned()),
        (
            "quittance_worker_login".to_owned(),
            "quittance_worker".to_owned(),
        ),
    ];
    // Here no watcher runs, but its login is there.
    let watcher = (
        "quittance_watcher_login".to_owned(),
        "quittance_watcher".to_owned(),
    );
    assert_eq!(memberships[0], expected[0]);
    assert_eq!(memberships[1..], [watcher, expected[1].clone()]);
    // Functions that run with the owner's rights cannot be tricked into another schema.
    let open: Vec<String> = sqlx::query_scalar(
        "select proname::text from pg_proc where pronamespace = 'public'::regnamespace and prosecdef
         and not coalesce(proconfig, '{}') @> array['search_path=public, pg_temp']",
    )
    .fetch_all(deployment.pool())
    .await
    .expect("the functions");
    assert_eq!(open, Vec::<String>::new());
    finish(deployment).await;
}
