//! Gauges of what waits for operators.

use stack::Deployment;

use crate::support::{execute, finish, start, until};

async fn until_told(deployment: &Deployment, line: &str) {
    let metrics = format!("{}/metrics", deployment.worker(0).url());
    until(line, async || {
        let answer = reqwest::get(&metrics).await.expect("metrics");
        let text = answer.text().await.expect("text");
        text.lines().any(|known| known == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_open_is_told_by_reason_and_goes_back_to_nothing() {
    let deployment = start(Deployment::builder()).await;
    execute(
        deployment.pool(),
        "insert into unattributed_deposits (signature, reason, resolved_at, resolution)
         select 's ' || n, case when n <= 3 then 'unreadable' when n <= 4 then 'ambiguous' else 'resolved' end,
                case when n > 4 then now() end, case when n > 4 then 'dismissed' end
         from generate_series(1, 9) as n;
         insert into parked_jobs (queue, entry_id, payload, reason, deliveries)
         values ('pay', '1-1', 'p', 'r', 1), ('pay', '1-2', 'p', 'r', 1)",
    )
    .await;
    for line in [
        "quittance_unattributed_open{reason=\"unreadable\"} 3",
        "quittance_unattributed_open{reason=\"ambiguous\"} 1",
        "quittance_parked_open{queue=\"pay\"} 2",
        "quittance_parked_open{queue=\"relay\"} 0",
    ] {
        until_told(&deployment, line).await;
    }
    execute(
        deployment.pool(),
        "delete from unattributed_deposits where reason = 'unreadable';
         update unattributed_deposits set resolved_at = now(), resolution = 'dismissed' where reason = 'ambiguous';
         update parked_jobs set resolved_at = now(), resolution = 'discarded'",
    )
    .await;
    for line in [
        "quittance_unattributed_open{reason=\"unreadable\"} 0",
        "quittance_unattributed_open{reason=\"ambiguous\"} 0",
        "quittance_parked_open{queue=\"pay\"} 0",
    ] {
        until_told(&deployment, line).await;
    }
    finish(deployment).await;
}
