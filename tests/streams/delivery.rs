//! What a stream shows is the ledger, whatever Redis delivers.

use stack::Deployment;

use crate::scene::{LIMIT, NEVER_MS, adjust_silently, next_balance, position, publish};

fn credit(balance: i64) -> (String, i64) {
    ("balance_credit".to_owned(), balance)
}

#[tokio::test]
async fn lost_doubled_and_late_messages_read_as_the_ledger() {
    let deployment = Deployment::builder()
        .env("QUITTANCE_SWEEP_OUTBOX_AGE_MS", NEVER_MS)
        .start()
        .await
        .unwrap();
    let console = deployment.user().await.unwrap();
    let before = adjust_silently(&deployment, &console, 1).await;
    let mut frames = console.balance_stream().await.unwrap();
    assert_eq!(next_balance(&mut frames).await, ("snapshot".to_owned(), 1));

    // What the snapshot counted in is not told again.
    publish(&deployment, &console, &before).await;
    // The first two are lost: the third brings them along, in order.
    let first = adjust_silently(&deployment, &console, 10).await;
    let _second = adjust_silently(&deployment, &console, 100).await;
    let third = adjust_silently(&deployment, &console, 1000).await;
    publish(&deployment, &console, &third).await;
    for balance in [11, 111, 1111] {
        assert_eq!(next_balance(&mut frames).await, credit(balance));
    }
    // Late and doubled ones are dropped; the next one comes alone.
    publish(&deployment, &console, &first).await;
    publish(&deployment, &console, &third).await;
    let fourth = adjust_silently(&deployment, &console, -111).await;
    publish(&deployment, &console, &fourth).await;
    assert_eq!(
        next_balance(&mut frames).await,
        ("balance_debit".to_owned(), 1000)
    );
    // Garbage harms nobody.
    publish(&deployment, &console, "{").await;
    let fifth = adjust_silently(&deployment, &console, 5).await;
    publish(&deployment, &console, &fifth).await;
    assert_eq!(next_balance(&mut frames).await, credit(1005));
    assert!(position(&fifth) > position(&fourth));
    drop(frames);
    // The audit would miss the publishing that this test held back.
    sqlx::query("select mark_published(array_agg(id)) from outbox_batches")
        .execute(deployment.pool())
        .await
        .unwrap();
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn when_redis_returns_a_stream_tells_what_it_missed_and_starts_afresh() {
    let deployment = Deployment::builder()
        .private_redis()
        .env("QUITTANCE_SWEEP_OUTBOX_AGE_MS", NEVER_MS)
        .start()
        .await
        .unwrap();
    let console = deployment.user_with_balance(49_000_007).await.unwrap();
    let body = stack::client::console::subscription_invoice("starter", 1);
    let invoice = console.create_invoice(&body).await.unwrap().body["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut balance = console.balance_stream().await.unwrap();
    let mut paid = console.invoice_stream(&invoice).await.unwrap();
    assert_eq!(
        next_balance(&mut balance).await,
        ("snapshot".to_owned(), 49_000_007)
    );
    assert_eq!(paid.next_event(LIMIT).await.unwrap().unwrap().0, "snapshot");

    let redis = deployment.private_redis().unwrap();
    redis.kill().await.unwrap();
    adjust_silently(&deployment, &console, 3).await;
    sqlx::query("select settle_from_balance(array[$1], array[$2], array['trace'])")
        .bind(&invoice)
        .bind(console.user_id())
        .execute(deployment.pool())
        .await
        .unwrap();
    redis.start_again().await.unwrap();

    assert_eq!(next_balance(&mut balance).await, credit(49_000_010));
    assert_eq!(
        next_balance(&mut balance).await,
        ("balance_debit".to_owned(), 10)
    );
    assert_eq!(
        next_balance(&mut balance).await,
        ("snapshot".to_owned(), 10)
    );
    let (name, data) = paid.next_event(LIMIT).await.unwrap().unwrap();
    assert_eq!(
        (name.as_str(), data["status"].as_str()),
        ("invoice_paid", Some("paid"))
    );
    assert!(
        paid.next_event(LIMIT).await.unwrap().is_none(),
        "a paid invoice's stream closes"
    );
    drop(balance);
    sqlx::query("select mark_published(array_agg(id)) from outbox_batches")
        .execute(deployment.pool())
        .await
        .unwrap();
    deployment.finish().await.unwrap();
}
