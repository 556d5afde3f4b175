//! Wallets that know nothing but the payment URI.

use crate::scene::{
    RAILS, balance, builder, invoice, next_event, pay, payer, purchase, top_up, until_balance,
    until_status,
};

#[tokio::test]
async fn a_payment_by_its_uri_alone_settles_on_every_rail() {
    let deployment = builder().start().await.unwrap();
    let wallet = payer(&deployment).await;
    for rail in RAILS {
        let console = deployment.user().await.unwrap();
        let asked = invoice(&console, &purchase(rail, "crypto-onchain")).await;
        let mut stream = console.invoice_stream(&asked.id).await.unwrap();
        assert_eq!(next_event(&mut stream).await.0, "snapshot");

        pay(&deployment, &wallet, &asked).await;

        let (event, data) = next_event(&mut stream).await;
        assert_eq!(event, "invoice_progress", "{rail}: {data}");
        assert_eq!(data["status"], "pending");
        assert!(
            data["payments_received_micro"].as_i64().unwrap() >= 49_000_000,
            "{data}"
        );
        let (event, data) = next_event(&mut stream).await;
        assert_eq!(
            (event.as_str(), &data["status"]),
            ("invoice_paid", &"paid".into())
        );
        assert_eq!(stream.next_event(crate::scene::LIMIT).await.unwrap(), None);

        let paid = until_status(&console, &asked.id, "paid").await;
        assert!(paid["paid_at"].is_string() && paid["processed_at"].is_string());
        assert!(
            paid["payments_received_micro"].as_i64().unwrap() >= 49_000_000,
            "{paid}"
        );
        assert_eq!(balance(&console).await, 0);
        let active: i64 = sqlx::query_scalar(
            "select count(*) from subscriptions where user_id = $1 and plan = 'starter' and active_until > now()",
        )
        .bind(console.user_id())
        .fetch_one(deployment.pool())
        .await
        .unwrap();
        assert_eq!(active, 1);
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_top_up_credits_the_balance_and_says_so() {
    let deployment = builder().start().await.unwrap();
    let wallet = payer(&deployment).await;
    for rail in RAILS {
        let console = deployment.user().await.unwrap();
        let mut stream = console.balance_stream().await.unwrap();
        assert_eq!(next_event(&mut stream).await.0, "snapshot");
        let asked = invoice(&console, &top_up(rail, "crypto-onchain", 12_345_678)).await;

        pay(&deployment, &wallet, &asked).await;

        let (event, data) = next_event(&mut stream).await;
        assert_eq!(event, "balance_credit");
        assert_eq!(data["delta_micro"], 12_345_678);
        assert_eq!(data["new_balance"], 12_345_678);
        assert_eq!(data["ref_invoice_id"], asked.id.as_str());
        until_status(&console, &asked.id, "paid").await;
        until_balance(&console, 12_345_678).await;
        let entries = console.entries("").await.unwrap().body;
        assert_eq!(entries["entries"][0]["kind"], "payment_credit", "{entries}");
    }
    deployment.finish().await.unwrap();
}
