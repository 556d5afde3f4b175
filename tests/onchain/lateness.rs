//! Money for invoices that have ended, or that end meanwhile.

use crate::scene::{
    balance, builder, invoice, pay, pay_units, payer, purchase, until, until_balance, until_status,
};
use stack::{Console, Deployment};

/// Lets an invoice's time run out.
async fn run_out(deployment: &Deployment, id: &str) {
    sqlx::query(
        "update invoices set created_at = now() - interval '2 hours', expires_at = now(), grace_until = now()
         where id = $1",
    )
        .bind(id)
        .execute(deployment.pool())
        .await
        .unwrap();
}

async fn received(console: &Console, id: &str, micro: i64) {
    until(&format!("{micro} received"), async || {
        let invoice = console.get_invoice(id).await.unwrap().body;
        (invoice["payments_received_micro"] == micro).then_some(())
    })
    .await;
}

#[tokio::test]
async fn case_09_money_for_an_expired_invoice_is_credited() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    run_out(&deployment, &asked.id).await;
    until_status(&console, &asked.id, "expired").await;

    pay(&deployment, &wallet, &asked).await;

    until_balance(&console, 49_000_000).await;
    until_status(&console, &asked.id, "expired").await;
    deployment.finish().await.unwrap();
}

/// Nobody was there to see it when the time ran out; the chain knows that it was in time.
#[tokio::test]
async fn what_landed_while_the_watcher_was_down_over_the_end_is_paid() {
    let mut deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let (asked, unpaid) = (
        invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await,
        invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await,
    );
    deployment.kill_watcher(0).await;
    pay(&deployment, &wallet, &asked).await;
    // A local chain's clock falls behind when its machine is busy: the other one's end is an hour ago.
    for (id, ended_seconds_ago) in [(&asked.id, 0.0), (&unpaid.id, 3600.0)] {
        sqlx::query(
            "update invoices set created_at = now() - interval '2 hours',
                                 expires_at = now() - make_interval(secs => $2) where id = $1",
        )
        .bind(id)
        .bind(ended_seconds_ago)
        .execute(deployment.pool())
        .await
        .unwrap();
    }
    // What comes now is too late for the other one.
    pay(&deployment, &wallet, &unpaid).await;
    let waiting = console.get_invoice(&asked.id).await.unwrap().body;
    assert_eq!(waiting["status"], "pending", "{waiting}");

    deployment.start_watcher().await.unwrap();
    until_status(&console, &asked.id, "paid").await;
    until_balance(&console, 49_000_000).await;
    let late = console.get_invoice(&unpaid.id).await.unwrap().body;
    assert_ne!(late["status"], "paid", "{late}");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_62_money_for_a_cancelled_invoice_is_credited_also_when_it_was_confirming() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let other = invoice(&console, &purchase("sol-spl-usdt", "crypto-onchain")).await;
    assert_eq!(console.cancel(&asked.id).await.unwrap().status, 204);
    pay(&deployment, &wallet, &asked).await;
    until_balance(&console, 49_000_000).await;

    // The race: whichever comes first, the money is not lost and the invoice is settled at most once.
    pay_units(&deployment, &wallet, &other, other.units).await;
    let cancelled = console.cancel(&other.id).await.unwrap().status;
    if cancelled == 204 {
        until_balance(&console, 98_000_000).await;
        until_status(&console, &other.id, "cancelled").await;
    } else {
        assert_eq!(cancelled, 404);
        until_status(&console, &other.id, "paid").await;
        assert_eq!(balance(&console).await, 49_000_000);
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_part_of_the_price_is_credited_when_the_time_is_over() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    pay_units(&deployment, &wallet, &asked, 1_000_000).await;
    received(&console, &asked.id, 1_000_000).await;
    run_out(&deployment, &asked.id).await;

    until_balance(&console, 1_000_000).await;
    until_status(&console, &asked.id, "expired").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_payment_from_balance_and_one_on_chain_settle_once() {
    let deployment = builder().start().await.unwrap();
    let wallet = payer(&deployment).await;
    for _ in 0..3 {
        let console = deployment.user_with_balance(49_000_000).await.unwrap();
        let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
        let (on_chain, from_balance) =
            tokio::join!(pay(&deployment, &wallet, &asked), console.pay(&asked.id));
        let () = on_chain;
        let from_balance = from_balance.unwrap();
        assert_eq!(from_balance.status, 200, "{}", from_balance.text);
        // One of them paid; the other's money is in the balance.
        until_balance(&console, 49_000_000).await;
        until_status(&console, &asked.id, "paid").await;
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_61_what_was_confirmed_in_time_is_paid_after_its_time() {
    // Slow finality, so that the time can run out in between.
    let deployment = builder()
        .env("QUITTANCE_WATCH_FINALITY_INTERVAL_MS", "6000")
        .start()
        .await
        .unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    pay(&deployment, &wallet, &asked).await;
    received(&console, &asked.id, 49_000_000).await;
    run_out(&deployment, &asked.id).await;
    let held = console.get_invoice(&asked.id).await.unwrap().body;
    assert_ne!(held["status"], "expired", "{held}");
    until_status(&console, &asked.id, "paid").await;
    assert_eq!(balance(&console).await, 0);
    deployment.finish().await.unwrap();
}
