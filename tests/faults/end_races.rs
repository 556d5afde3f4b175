//! A payment that races the end of its invoice: exactly one wins, and both answers say which.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join;
use sqlx::PgPool;
use stack::Deployment;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::client::{Connections, Settled, Verdict, pay_until_definite};
use crate::support::truth::{check, standing, standings};
use crate::support::wait::eventually;
use crate::support::world::{Debtor, quick};

const USERS: usize = 12;
/// Invoices of each user, one race each.
const EACH: usize = 10;

/// How long a payment takes here and now: the middle of several.
async fn usual_duration(deployment: &Deployment) -> Duration {
    let probe = Debtor::create_many(deployment, 1, 9).await.remove(0);
    let consoles = probe.consoles(deployment, 0);
    let mut durations = Vec::new();
    for invoice in &probe.invoices {
        let settled = pay_until_definite(&consoles, invoice, Connections::Hold).await;
        assert!(settled.verdict.is_paid());
        durations.push(settled.took);
    }
    durations.sort_unstable();
    durations[durations.len() / 2]
}

#[tokio::test]
async fn of_a_cancel_and_a_payment_exactly_one_wins() {
    let deployment = quick().apis(2).workers(2).start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, USERS, EACH).await;
    let usual = usual_duration(&deployment).await;
    let pairs = debtors
        .iter()
        .flat_map(|one| one.invoices.iter().map(move |id| (one, id)));
    // From the cancel a payment's duration ahead to the payment as far ahead, so that both may win.
    let total = u32::try_from(USERS * EACH).unwrap();
    let pairs: Vec<_> = (0..).zip(pairs).collect();
    let races = futures::stream::iter(pairs).map(async |(number, (debtor, invoice))| {
        let consoles = debtor.consoles(&deployment, number as usize);
        let (pay_in, cancel_in) = (usual * (total - number) / total, usual * number / total);
        let pay = async {
            sleep(pay_in).await;
            pay_until_definite(&consoles, invoice, Connections::Hold).await
        };
        let cancel = async {
            sleep(cancel_in).await;
            consoles[1].cancel(invoice).await.unwrap().status
        };
        join(pay, cancel).await
    });
    let ended: Vec<(Settled, u16)> = races.buffer_unordered(4).collect().await;

    let mut cancelled_count = 0;
    for (settled, cancel) in &ended {
        let (status, debits) = standing(deployment.pool(), &settled.invoice).await;
        let told = (cancel, &settled.verdict);
        match status.as_str() {
            "cancelled" => {
                assert_eq!(told, (&204, &Verdict::refused("invoice_not_pending")));
                assert_eq!(debits, 0);
                cancelled_count += 1;
            }
            _ => assert!(
                *cancel == 404 && settled.verdict.is_paid(),
                "{status}: {told:?}"
            ),
        }
    }
    println!("{cancelled_count} of {total} were cancelled; a payment took {usual:?}");
    assert!(
        (1..total).contains(&cancelled_count),
        "one side always won: no race was run"
    );
    let settled: Vec<Settled> = ended.into_iter().map(|(settled, _)| settled).collect();
    check(deployment.pool(), &debtors, &settled).await;
    deployment.finish().await.unwrap();
}

/// Lets these invoices end in so long, all at the same moment; returns that moment by our clock.
async fn expire_in(pool: &PgPool, invoices: &[String], left: Duration) -> Instant {
    let left: Vec<f64> = sqlx::query_scalar(
        "update invoices set created_at = now() - interval '1 hour',
                             expires_at = now() + make_interval(secs => $2),
                             grace_until = now() + make_interval(secs => $2)
         where id = any ($1)
         returning extract(epoch from expires_at - clock_timestamp())::float8",
    )
    .bind(invoices)
    .bind(left.as_secs_f64())
    .fetch_all(pool)
    .await
    .unwrap();
    // However late the statement began.
    Instant::now() + Duration::from_secs_f64(left[0].max(0.0))
}

#[tokio::test]
async fn of_an_expiry_and_a_payment_exactly_one_wins() {
    let deployment = quick()
        .apis(2)
        .workers(2)
        .env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", "10")
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, USERS, EACH).await;
    let invoices: Vec<String> = debtors
        .iter()
        .flat_map(|one| one.invoices.clone())
        .collect();
    let end = expire_in(deployment.pool(), &invoices, Duration::from_secs(3)).await;
    // Payments set out from a while before the end to shortly after it.
    let spread = Duration::from_millis(2400);
    let total = u32::try_from(USERS * EACH).unwrap();
    let calls = debtors
        .iter()
        .flat_map(|one| one.invoices.iter().map(move |id| (one, id)));
    let calls: Vec<_> = (0..).zip(calls).collect();
    let races = calls.into_iter().map(async |(number, (debtor, invoice))| {
        sleep_until(end + spread / 16 - spread * number / total).await;
        let consoles = debtor.consoles(&deployment, number as usize);
        pay_until_definite(&consoles, invoice, Connections::Hold).await
    });
    let settled = futures::future::join_all(races).await;

    eventually(
        "every unpaid invoice is swept",
        Duration::from_secs(5),
        async || {
            let pending: i64 = sqlx::query_scalar(
                "select count(*) from invoices where status = 'pending' and id = any ($1)",
            )
            .bind(&invoices)
            .fetch_one(deployment.pool())
            .await
            .unwrap();
            (pending == 0).then_some(())
        },
    )
    .await;
    let standings = standings(deployment.pool(), &invoices).await;
    let mut paid = 0;
    for one in &settled {
        let (status, debits) = &standings[&one.invoice];
        match status.as_str() {
            "paid" => assert!(one.verdict.is_paid() && *debits == 1, "{one:?}"),
            "expired" => assert_eq!(one.verdict, Verdict::refused("invoice_not_pending")),
            _ => panic!("{one:?} is {status}"),
        }
        paid += u32::from(status == "paid");
    }
    println!("{paid} of {total} were paid before they expired");
    assert!(
        (1..total).contains(&paid),
        "one side always won: no race was run"
    );
    check(deployment.pool(), &debtors, &settled).await;
    deployment.finish().await.unwrap();
}
