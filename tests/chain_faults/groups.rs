//! Payments that are recorded together are each recorded for itself.

use std::time::Duration;

use crate::books::until_paid_once;
use crate::scene::{Bill, Net};
use crate::waiting::{metric, until, until_status};

#[tokio::test]
async fn a_payment_that_is_held_up_holds_up_no_other() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 12).await;
    let (held, others) = bills.split_first().unwrap();
    let mut holder = deployment.pool().begin().await.unwrap();
    sqlx::query("select from invoices where id = $1 for update")
        .bind(&held.id)
        .execute(&mut *holder)
        .await
        .unwrap();

    net.chain
        .land_all(bills.iter().map(|bill| net.payment(bill)));

    for bill in others {
        until_status(bill, "paid").await;
    }
    assert_eq!(held.now().await["status"], "pending");
    let watcher = deployment.watcher(0);
    let groups = metric(watcher, "quittance_chain_group_size_count").await;
    let payments = metric(watcher, "quittance_chain_group_size_sum").await;
    assert!(payments > groups, "nothing was recorded together");
    holder.rollback().await.unwrap();
    until_paid_once(&deployment, &bills.iter().collect::<Vec<_>>()).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_payment_that_is_refused_is_listed_and_refuses_no_other() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 12).await;
    let (refused, others) = bills.split_first().unwrap();
    let refuse = format!(
        "create function refuse_credit() returns trigger language plpgsql as
         $$ begin raise exception 'refused' using errcode = 'check_violation'; end $$;
         create trigger refuse before insert on chain_credits for each row
         when (new.invoice_id = '{}') execute function refuse_credit()",
        refused.id
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse))
        .execute(deployment.pool())
        .await
        .unwrap();

    net.chain
        .land_all(bills.iter().map(|bill| net.payment(bill)));

    for bill in others {
        until_status(bill, "paid").await;
    }
    until("it is listed, alone", async || {
        let listed: Vec<String> = sqlx::query_scalar(
            "select reason from unattributed_deposits where resolved_at is null",
        )
        .fetch_all(deployment.pool())
        .await
        .unwrap();
        (listed == ["not_recordable"]).then_some(())
    })
    .await;
    sqlx::raw_sql("drop trigger refuse on chain_credits")
        .execute(deployment.pool())
        .await
        .unwrap();
    until_paid_once(&deployment, &bills.iter().collect::<Vec<_>>()).await;
    deployment.finish().await.unwrap();
}

/// The server is gone in the middle of a group: none of it, or all of it, was recorded.
#[tokio::test]
async fn a_group_whose_server_dies_is_recorded_once() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder().private_postgres()).await;
    let bills = Bill::several(&deployment, 12).await;
    let all: Vec<&Bill> = bills.iter().collect();
    let postgres = deployment.private_postgres().unwrap();
    for half in bills.chunks(6) {
        net.chain
            .land_all(half.iter().map(|bill| net.payment(bill)));
        deployment
            .watcher(0)
            .wait_for_log("payment on chain", Duration::from_secs(40))
            .await
            .unwrap();
        postgres.kill().await.unwrap();
        postgres.start_again().await.unwrap();
    }
    until_paid_once(&deployment, &all).await;
    deployment.finish().await.unwrap();
}
