//! Too little, too much, twice.

use crate::scene::{
    Asked, builder, invoice, pay, pay_units, payer, purchase, top_up, until, until_balance,
    until_status,
};

#[tokio::test]
async fn case_12_parts_add_up_and_what_comes_after_is_the_owners() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;

    pay_units(&deployment, &wallet, &asked, asked.units - 1).await;
    let before = until("progress", async || {
        let invoice = console.get_invoice(&asked.id).await.unwrap().body;
        (invoice["payments_received_micro"] == 48_999_999).then_some(invoice)
    })
    .await;
    assert_eq!(before["status"], "pending");

    pay_units(&deployment, &wallet, &asked, 1).await;
    until_status(&console, &asked.id, "paid").await;
    assert_eq!(crate::scene::balance(&console).await, 0);

    pay_units(&deployment, &wallet, &asked, 1).await;
    until_balance(&console, 1).await;
    let months: i64 =
        sqlx::query_scalar("select months_purchased from subscriptions where user_id = $1")
            .bind(console.user_id())
            .fetch_one(deployment.pool())
            .await
            .unwrap();
    assert_eq!(months, 1);
    deployment.finish().await.unwrap();
}

/// With 48.5 of 49 paid the invoice asks for half a dollar, and takes it.
#[tokio::test]
async fn a_part_paid_invoice_asks_for_the_rest() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-inapp")).await;
    pay_units(&deployment, &wallet, &asked, 48_500_000).await;
    let part = until("the part", async || {
        let invoice = console.get_invoice(&asked.id).await.unwrap().body;
        (invoice["remaining_micro"] == 500_000).then_some(invoice)
    })
    .await;
    assert_eq!(part["status"], "pending");
    let payments = part["payments"].as_array().unwrap();
    assert_eq!(payments.len(), 1);
    assert_eq!(payments[0]["amount_micro"], 48_500_000);
    assert!(payments[0]["seen_at"].is_string() && payments[0]["signature"].is_string());

    let rest = Asked::of(&part);
    assert_eq!((rest.units, &rest.references), (500_000, &asked.references));
    pay(&deployment, &wallet, &rest).await;
    let paid = until_status(&console, &asked.id, "paid").await;
    assert_eq!(paid["remaining_micro"], 0);
    assert!(paid["qr_uri"].is_null(), "{paid}");
    let payments = paid["payments"].as_array().unwrap().iter();
    let counted: Vec<(i64, &str)> = payments
        .map(|row| {
            (
                row["amount_micro"].as_i64().unwrap(),
                row["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(counted, [(500_000, "finalized"), (48_500_000, "finalized")]);
    assert_eq!(crate::scene::balance(&console).await, 0);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn what_is_paid_too_much_goes_to_the_balance() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(
        &console,
        &top_up("sol-spl-usdt", "crypto-onchain", 5_000_000),
    )
    .await;

    pay_units(&deployment, &wallet, &asked, 7_000_001).await;

    let paid = until_status(&console, &asked.id, "paid").await;
    assert_eq!(paid["payments_received_micro"], 7_000_001);
    until_balance(&console, 7_000_001).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_08_a_second_full_payment_is_credited_and_settles_nothing() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;

    pay(&deployment, &wallet, &asked).await;
    pay(&deployment, &wallet, &asked).await;

    until_status(&console, &asked.id, "paid").await;
    until_balance(&console, 49_000_000).await;
    let events: i64 = sqlx::query_scalar(
        "select count(*) from outbox where topic = $1 and message ->> 'kind' = 'invoice_paid'",
    )
    .bind(format!("invoice:{}", asked.id))
    .fetch_one(deployment.pool())
    .await
    .unwrap();
    assert_eq!(events, 1);
    deployment.finish().await.unwrap();
}
