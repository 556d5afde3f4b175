//! `GET /ops/v1/reconciliation`: the books against what scripted nodes say. No watcher runs: its rows are written here.

use fault_kit::{Fault, Reply, RpcMethod};
use serde_json::{Value, json};
use stack::service::{run_report, run_worker_command};
use stack::settings::ANY_PORT;

use crate::chain_books::record_on;
use crate::reconciliation_scene::{Scene, until_gauge};
use crate::support::{LIMIT, execute, fields, finish, get, until};

/// What both sides begin with.
const LAMPORTS: u64 = 1000;
const DOLLARS: u64 = 300;

async fn scene(nodes: usize) -> Scene {
    let scene = unopened(nodes).await;
    scene.open_books(LAMPORTS, DOLLARS).await;
    scene
}

/// Nodes are asked for nothing before the books begin.
async fn unopened(nodes: usize) -> Scene {
    let scene = Scene::start(nodes, "100").await;
    scene.hold(LAMPORTS, DOLLARS);
    scene
}

#[tokio::test]
async fn both_sides_are_shown_and_a_lost_row_is_an_alarm() {
    let scene = scene(1).await;
    let (deployment, pool) = (&scene.deployment, scene.deployment.pool());
    // In 200, and 3 of dust; out 120.
    scene.read_up_to(0).await;
    record_on(pool, &scene.usdc(), "in", &[], 200).await;
    scene.dust("dust", 3).await;
    scene.outflow("out", 120).await;
    scene.hold(LAMPORTS, 383);
    scene.read_up_to(1_000_000).await;
    let wallet = scene.until_compared(&scene.wallet(), 1000, 1000).await;
    let usdc = scene.until_compared(&scene.usdc(), 383, 383).await;
    assert_eq!(
        fields(&usdc),
        ["account", "at", "ok", "ours", "rail", "theirs"]
    );
    assert_eq!(
        (&wallet["rail"], &wallet["ok"]),
        (&json!("sol-native"), &json!(true))
    );
    assert_eq!(
        (&usdc["rail"], &usdc["ok"]),
        (&json!("sol-spl-usdc"), &json!(true))
    );
    until_gauge(&scene, "ok", &scene.usdc(), "1").await;

    execute(
        pool,
        "create table kept_payments as select * from chain_payments where signature = 'in';
         create table kept_deposits as select * from unattributed_deposits where signature = 'in';
         delete from chain_payments where signature = 'in'; delete from unattributed_deposits where signature = 'in'",
    )
    .await;
    let differs = scene.until_compared(&scene.usdc(), 383, 183).await;
    assert_eq!(differs["ok"], false);
    let shown = get(deployment, "/ops/v1/reconciliation").await.body;
    assert_eq!(shown["ok"], false, "{shown}");
    assert_eq!(scene.row(&scene.wallet()).await["ok"], true);
    let audit = get(deployment, "/ops/v1/audit").await.body;
    let checks = audit["checks"].as_array().expect("a list");
    let failed: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(failed.len(), 1, "{audit}");
    assert_eq!(failed[0]["name"], "books_equal_the_chain");
    let said = deployment
        .worker(0)
        .wait_for_log("the books differ from the chain", LIMIT);
    let said = said.await.expect("it says so");
    assert!(said.contains(&scene.usdc()) && said.contains("383") && said.contains("183"));
    until_gauge(&scene, "ok", &scene.usdc(), "0").await;

    execute(
        pool,
        "insert into chain_payments select * from kept_payments;
         insert into unattributed_deposits overriding system value select * from kept_deposits",
    )
    .await;
    scene.until_compared(&scene.usdc(), 383, 383).await;
    until_gauge(&scene, "ok", &scene.usdc(), "1").await;
    finish(scene.deployment).await;
}

#[tokio::test]
async fn books_that_are_behind_say_nothing_and_hold_up_nobody() {
    let scene = scene(1).await;
    scene.read_one(&scene.wallet(), 1_000_000).await;
    let mut last = Value::Null;
    for _ in 0..3 {
        last = scene.until_newer(&scene.wallet(), &last).await;
    }
    let behind = scene.row(&scene.usdc()).await;
    let expected = json!({
        "account": scene.usdc(), "rail": "sol-spl-usdc", "at": null, "theirs": null, "ours": null, "ok": null,
    });
    assert_eq!(behind, expected);
    let shown = get(&scene.deployment, "/ops/v1/reconciliation").await.body;
    assert_eq!(shown["ok"], true);
    scene.read_one(&scene.usdc(), 1_000_000).await;
    scene.until_compared(&scene.usdc(), 300, 300).await;
    finish(scene.deployment).await;
}

/// Whatever is undecided may be the money that the chain shows already.
#[tokio::test]
async fn what_is_undecided_is_waited_for() {
    let scene = scene(1).await;
    let pool = scene.deployment.pool();
    scene.keep_verdicts().await;
    scene.read_up_to(1_000_000).await;
    scene.until_compared(&scene.usdc(), 300, 300).await;
    let kinds = [
        "'found', 1, null",
        "'confirmed', 1, null",
        // Nobody knows yet where it landed.
        "'found', null, null",
        // It cannot be read.
        "'found', 1, 'unreadable'",
    ];
    let mut held = DOLLARS;
    for (nth, kind) in kinds.into_iter().enumerate() {
        let signature = format!("undecided {nth}");
        scene.read_up_to(0).await;
        scene.undecided(&signature, kind).await;
        held += 5;
        scene.hold(LAMPORTS, held);
        scene.read_up_to(1_000_000).await;
        scene.until_looked_at_signatures().await;
        let mut deciding = pool.begin().await.expect("a transaction");
        scene.decide(&mut deciding, &signature, 5).await;
        deciding.commit().await.expect("decided");
        let units = i64::try_from(held).expect("few");
        scene.until_compared(&scene.usdc(), units, units).await;
        assert_eq!(scene.wrong_verdicts().await, 0, "{kind}");
    }
    finish(scene.deployment).await;
}

#[tokio::test]
async fn what_one_node_says_once_is_no_alarm() {
    let scene = scene(1).await;
    scene.keep_verdicts().await;
    let lie = scene.says(7);
    scene.nodes[0].fault(
        Fault::on(RpcMethod::GetAccountInfo)
            .mentioning(&scene.wallet())
            .first(1)
            .reply(lie),
    );
    scene.read_up_to(1_000_000).await;
    scene.until_compared(&scene.wallet(), 1000, 1000).await;
    let again = scene
        .deployment
        .worker(0)
        .wait_for_log("looking again", LIMIT);
    again.await.expect("it looked twice");
    assert_eq!(scene.wrong_verdicts().await, 0);
    finish(scene.deployment).await;
}

#[tokio::test]
async fn nodes_that_disagree_are_no_proof_and_a_dead_one_is_no_obstacle() {
    let scene = unopened(3).await;
    scene.keep_verdicts().await;
    let dead = Reply::Http {
        status: 503,
        retry_after: None,
    };
    scene.nodes[0].fault(Fault::on(RpcMethod::GetAccountInfo).reply(dead));
    scene.nodes[2].fault(
        Fault::on(RpcMethod::GetAccountInfo)
            .mentioning(&scene.wallet())
            .reply(scene.says(7)),
    );
    scene.open_books(LAMPORTS, DOLLARS).await;
    scene.read_up_to(1_000_000).await;
    scene.until_compared(&scene.usdc(), 300, 300).await;
    let worker = scene.deployment.worker(0);
    let said = worker.wait_for_log("nodes disagree about what an account holds", LIMIT);
    let said = said.await.expect("it says so");
    assert!(said.contains(&scene.wallet()), "{said}");
    assert_eq!(scene.row(&scene.wallet()).await["at"], Value::Null);

    scene.nodes[2].clear_faults();
    scene.until_compared(&scene.wallet(), 1000, 1000).await;
    assert_eq!(scene.wrong_verdicts().await, 0);
    // What all nodes say that say anything is true.
    scene.nodes[1].fault(
        Fault::on(RpcMethod::GetAccountInfo)
            .mentioning(&scene.wallet())
            .reply(scene.says(7)),
    );
    scene.nodes[2].fault(
        Fault::on(RpcMethod::GetAccountInfo)
            .mentioning(&scene.wallet())
            .reply(scene.says(7)),
    );
    let differs = scene.until_compared(&scene.wallet(), 7, 1000).await;
    assert_eq!(differs["ok"], false);
    scene.nodes[1].clear_faults();
    scene.nodes[2].clear_faults();
    scene.until_compared(&scene.wallet(), 1000, 1000).await;
    finish(scene.deployment).await;
}

#[tokio::test]
async fn an_account_that_is_no_longer_ours_holds_nothing() {
    let scene = scene(1).await;
    scene.read_up_to(1_000_000).await;
    scene.until_compared(&scene.usdc(), 300, 300).await;
    scene.give_away(DOLLARS);
    scene.until_compared(&scene.usdc(), 0, 300).await;
    scene.outflow("given away", 300).await;
    scene.until_compared(&scene.usdc(), 0, 0).await;
    scene.nodes[0].chain().remove_account(&scene.usdc);
    let last = scene.row(&scene.usdc()).await;
    let newer = scene.until_newer(&scene.usdc(), &last).await;
    assert_eq!((&newer["theirs"], &newer["ok"]), (&json!(0), &json!(true)));
    finish(scene.deployment).await;
}

/// A node may show a newer balance than that of the slot it names.
#[tokio::test]
async fn a_payment_that_is_not_final_yet_is_no_difference() {
    let scene = scene(1).await;
    scene.keep_verdicts().await;
    scene.read_up_to(0).await;
    let slot = i64::try_from(scene.nodes[0].chain().slot()).expect("a slot");
    record_on(scene.deployment.pool(), &scene.usdc(), "newest", &[], 9).await;
    sqlx::query("update chain_payments set slot = $1")
        .bind(slot)
        .execute(scene.deployment.pool())
        .await
        .expect("moved");
    scene.hold(LAMPORTS, DOLLARS + 9);
    scene.read_up_to(1_000_000).await;
    scene.until_compared(&scene.usdc(), 309, 309).await;
    assert_eq!(scene.wrong_verdicts().await, 0);
    finish(scene.deployment).await;
}

/// What was added up for good is not read each minute, but by the audit.
#[tokio::test]
async fn what_is_older_than_a_day_is_added_up_once() {
    let scene = scene(1).await;
    let pool = scene.deployment.pool();
    scene.read_up_to(0).await;
    record_on(pool, &scene.usdc(), "old", &[], 11).await;
    execute(
        pool,
        "update deposit_accounts set added_at = now() - interval '2 days'",
    )
    .await;
    scene.hold(LAMPORTS, 311);
    scene.read_up_to(1_000_000).await;
    scene.until_compared(&scene.usdc(), 311, 311).await;
    let marked = until("it is added up", async || {
        let marked: Option<(i64, String)> = sqlx::query_as(
            "select mark_slot, mark_units::text from reconciliations r join deposit_accounts using (account)
             where rail = 'sol-spl-usdc' and mark_slot = slot",
        )
        .fetch_optional(pool)
        .await
        .expect("the mark");
        marked
    })
    .await;
    assert_eq!(marked.1, "311");
    assert_eq!(
        get(&scene.deployment, "/ops/v1/audit").await.body["ok"],
        true
    );

    execute(
        pool,
        "create table kept_payments as table chain_payments; create table kept_deposits as table unattributed_deposits;
         delete from chain_payments; delete from unattributed_deposits",
    )
    .await;
    let last = scene.row(&scene.usdc()).await;
    let newer = scene.until_newer(&scene.usdc(), &last).await;
    assert_eq!(newer["ok"], true);
    let audit = get(&scene.deployment, "/ops/v1/audit").await;
    assert_eq!(audit.body["ok"], false);
    assert!(
        audit.text.contains("was said to have held 311"),
        "{}",
        audit.text
    );
    execute(
        pool,
        "insert into chain_payments select * from kept_payments;
         insert into unattributed_deposits overriding system value select * from kept_deposits",
    )
    .await;
    finish(scene.deployment).await;
}

#[tokio::test]
async fn the_command_compares_now_and_its_exit_tells() {
    let scene = Scene::start(1, "0").await;
    let mut environment = scene.deployment.settings().for_worker(ANY_PORT);
    scene.hold(LAMPORTS, DOLLARS);
    // The books of one account have not begun.
    scene.open_books(LAMPORTS, DOLLARS).await;
    scene.close_books(&scene.usdc()).await;
    scene.read_up_to(1_000_000).await;
    let error = run_worker_command("reconcile", &environment)
        .await
        .expect_err("one cannot be compared");
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    let told = run_report("reconcile", &environment)
        .await
        .expect("a report");
    assert_eq!(told["ok"], true, "none differs: {told}");
    assert_eq!(scene.row(&scene.usdc()).await["ok"], Value::Null);
    scene.open_books(LAMPORTS, DOLLARS).await;
    run_worker_command("reconcile", &environment)
        .await
        .expect("equal books");
    let told = run_report("reconcile", &environment)
        .await
        .expect("a report");
    assert_eq!(
        told,
        get(&scene.deployment, "/ops/v1/reconciliation").await.body
    );
    assert_eq!(told["ok"], true);

    scene.hold(LAMPORTS, DOLLARS - 1);
    let error = run_worker_command("reconcile", &environment)
        .await
        .expect_err("one differs");
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    scene.hold(LAMPORTS, DOLLARS);
    run_worker_command("reconcile", &environment)
        .await
        .expect("equal again");
    environment.remove("SOLANA_RPC_URL");
    let error = run_worker_command("reconcile", &environment)
        .await
        .expect_err("no nodes");
    assert!(error.to_string().contains("SOLANA_RPC_URL"), "{error}");
    finish(scene.deployment).await;
}
