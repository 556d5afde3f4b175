//! `GET /ops/v1/audit`: it finds every planted corruption, and nothing else.

use serde_json::{Value, json};
use sqlx::PgPool;
use stack::service::{run_audit, run_worker_command};
use stack::settings::ANY_PORT;
use stack::{Console, Deployment};

use crate::chain_corruptions::{CHAIN_CORRUPTIONS, chain_books};
use crate::corruptions::{CORRUPTIONS, Corruption};
use crate::support::{
    NEVER_MS, STARTER, execute, fields, finish, get, invoice, start, until, user, user_with,
};

/// Every check, in the order of the answer.
const CHECKS: [&str; 16] = [
    "debits_equal_credits",
    "balance_is_sum_of_transfers",
    "transfers_have_balances",
    "balances_not_negative",
    "balance_chain",
    "one_debit_per_invoice",
    "paid_invoices_have_evidence",
    "debits_have_paid_invoices",
    "paid_months_are_activated",
    "events_are_published",
    "payments_have_events",
    "chain_credits_are_posted",
    "chain_credits_are_backed",
    "chain_progress_is_shown",
    "ended_invoices_keep_nothing",
    "books_equal_the_chain",
];

async fn label(pool: &PgPool, invoice: &str, description: &str) {
    sqlx::query("update invoices set description = $2 where id = $1")
        .bind(invoice)
        .bind(description)
        .execute(pool)
        .await
        .expect("the superuser may");
}

async fn topup(console: &Console) -> String {
    let body = json!({
        "channel": "crypto-onchain", "rail": "sol-spl-usdc", "bill_action": {"type": "topup"},
        "amount_micro": 5,
    });
    let created = console.create_invoice(&body).await.expect("an answer").body;
    created["id"].as_str().expect("an id").to_owned()
}

/// Good books with a bit of everything, as the corruptions know them: a user with the transfers
/// +100, -49 (an invoice) and -1 dollars, and one with the single transfer +5 micro.
async fn good_books(deployment: &Deployment) {
    let pool = deployment.pool();
    let console = user_with(deployment, 100_000_000).await;
    user_with(deployment, 5).await;
    user(deployment).await;
    let paid = invoice(&console).await;
    assert_eq!(console.pay(&paid).await.expect("an answer").status, 200);
    let operator = deployment.operator();
    operator
        .adjust(console.user_id(), -1_000_000, "out", "a")
        .await
        .expect("adjusted");
    label(pool, &paid, "paid").await;
    label(pool, &invoice(&console).await, "pending").await;
    label(pool, &topup(&console).await, "topup").await;
    let cancelled = invoice(&console).await;
    assert_eq!(
        console.cancel(&cancelled).await.expect("an answer").status,
        204
    );
    let balance = console.balance().await.expect("an answer").body;
    assert_eq!(balance["amount_micro"], 100_000_000 - STARTER - 1_000_000);
    chain_books(deployment).await;
    all_published(pool).await;
}

/// No process writes to the database from here on.
async fn all_published(pool: &PgPool) {
    let unpublished = "select count(*) from outbox_batches where published_at is null";
    until("all events are published", async || {
        let left: i64 = sqlx::query_scalar(unpublished)
            .fetch_one(pool)
            .await
            .expect("a count");
        (left == 0).then_some(())
    })
    .await;
}

const KEEP: &str = "
    create schema kept;
    create table kept.users as table public.users;
    create table kept.balances as table public.balances;
    create table kept.transfers as table public.transfers;
    create table kept.adjustments as table public.adjustments;
    create table kept.invoices as table public.invoices;
    create table kept.subscriptions as table public.subscriptions;
    create table kept.chain_payments as table public.chain_payments;
    create table kept.chain_credits as table public.chain_credits;
    create table kept.unattributed_deposits as table public.unattributed_deposits;
    create table kept.outbox_batches as table public.outbox_batches;
    revoke all on schema kept from public";

/// As replicas apply changes: without triggers and foreign keys.
const RESTORE: &str = "
    begin;
    set local session_replication_role = replica;
    delete from chain_credits; delete from chain_payments; delete from unattributed_deposits;
    delete from outbox_batches; delete from subscriptions; delete from reconciliations;
    delete from adjustments; delete from transfers; delete from invoices;
    delete from balances; delete from users;
    insert into users select * from kept.users;
    insert into balances select * from kept.balances;
    insert into transfers overriding system value select * from kept.transfers;
    insert into adjustments select * from kept.adjustments;
    insert into invoices select * from kept.invoices;
    insert into subscriptions select * from kept.subscriptions;
    insert into chain_payments select * from kept.chain_payments;
    insert into chain_credits overriding system value select * from kept.chain_credits;
    insert into unattributed_deposits overriding system value select * from kept.unattributed_deposits;
    insert into outbox_batches overriding system value select * from kept.outbox_batches;
    commit";

async fn audit(deployment: &Deployment) -> Value {
    let answer = get(deployment, "/ops/v1/audit").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

/// The names of the checks that failed; everything else about the audit must fit to them.
fn failed(audit: &Value) -> Vec<&str> {
    assert_eq!(fields(audit), ["checks", "ok"]);
    let checks = audit["checks"].as_array().expect("a list");
    let names: Vec<&str> = checks
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert_eq!(names, CHECKS);
    let mut failed = Vec::new();
    for (check, name) in checks.iter().zip(names) {
        assert_eq!(fields(check), ["detail", "name", "ok"]);
        let detail = check["detail"].as_str().expect("a text");
        if check["ok"] == true {
            assert_eq!(detail, "holds", "{name}");
        } else {
            assert!(detail.contains("violations, such as: "), "{name}: {detail}");
            failed.push(name);
        }
    }
    assert_eq!(audit["ok"], failed.is_empty(), "{audit}");
    failed
}

async fn quiet() -> Deployment {
    let builder = Deployment::builder()
        .env("QUITTANCE_SWEEP_OUTBOX_INTERVAL_MS", NEVER_MS)
        .env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS);
    let deployment = start(builder).await;
    good_books(&deployment).await;
    execute(deployment.pool(), KEEP).await;
    deployment
}

#[tokio::test]
async fn every_planted_corruption_turns_exactly_its_checks_false() {
    let deployment = quiet().await;
    let pool = deployment.pool();
    assert_eq!(failed(&audit(&deployment).await), Vec::<&str>::new());
    let mut found: Vec<&str> = Vec::new();
    for Corruption {
        what,
        plant,
        repair,
        checks,
    } in CORRUPTIONS.iter().chain(CHAIN_CORRUPTIONS)
    {
        execute(pool, plant).await;
        assert_eq!(failed(&audit(&deployment).await), *checks, "{what}");
        execute(pool, RESTORE).await;
        execute(pool, repair).await;
        assert_eq!(
            failed(&audit(&deployment).await),
            Vec::<&str>::new(),
            "after: {what}"
        );
        found.extend(*checks);
    }
    assert!(
        CHECKS.iter().all(|check| found.contains(check)),
        "{found:?}"
    );
    finish(deployment).await;
}

#[tokio::test]
async fn an_event_that_is_late_but_not_old_is_no_fault() {
    let deployment = quiet().await;
    let recent =
        "update outbox_batches set published_at = null, created_at = now() - interval '50 seconds'";
    execute(deployment.pool(), recent).await;
    assert_eq!(failed(&audit(&deployment).await), Vec::<&str>::new());
    execute(deployment.pool(), RESTORE).await;
    finish(deployment).await;
}

#[tokio::test]
async fn the_workers_command_and_metric_agree() {
    let builder = Deployment::builder()
        .env("QUITTANCE_SWEEP_OUTBOX_INTERVAL_MS", NEVER_MS)
        .env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS)
        .env("QUITTANCE_SWEEP_AUDIT_INTERVAL_MS", "200");
    let deployment = start(builder).await;
    good_books(&deployment).await;
    execute(deployment.pool(), KEEP).await;
    let metrics = format!("{}/metrics", deployment.worker(0).url());
    let gauge = async |line: &str| {
        until(line, async || {
            let text = reqwest::get(&metrics)
                .await
                .expect("metrics")
                .text()
                .await
                .expect("text");
            text.lines().any(|known| known == line).then_some(())
        })
        .await;
    };
    // The worker's own role is enough.
    let environment = deployment.settings().for_worker(ANY_PORT);
    gauge("quittance_audit_ok 1").await;
    run_worker_command("audit", &environment)
        .await
        .expect("good books");

    execute(
        deployment.pool(),
        "update balances set amount_micro = 6 where amount_micro = 5",
    )
    .await;
    gauge("quittance_audit_ok 0").await;
    let said = deployment
        .worker(0)
        .wait_for_log("the audit found a violation", crate::support::LIMIT);
    let said = said.await.expect("it says so");
    assert!(said.contains("debits_equal_credits"), "{said}");
    let error = run_worker_command("audit", &environment)
        .await
        .expect_err("bad books");
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    let told = run_audit(&environment).await.expect("an audit");
    assert_eq!(
        failed(&told),
        ["debits_equal_credits", "balance_is_sum_of_transfers"]
    );
    assert_eq!(told, audit(&deployment).await);

    execute(deployment.pool(), RESTORE).await;
    gauge("quittance_audit_ok 1").await;
    finish(deployment).await;
}
