//! `GET /v1/balance/events` (contract §4.12, §5.2).

use serde_json::json;
use stack::{Console, Deployment, Frames};

use crate::support::{
    STARTER, assert_now, event, finish, invoice, start, starter, user, user_with,
};

/// Opens a stream and reads its first frame, which must be the balance of now.
async fn open(console: &Console) -> Frames {
    let mut stream = console.balance_stream().await.expect("a stream");
    let (name, data) = event(&mut stream).await;
    assert_eq!(name, "snapshot");
    let mut expected = console.balance().await.expect("an answer").body;
    expected["kind"] = json!("snapshot");
    assert_eq!(data, expected);
    stream
}

/// The next event must be this change of this user's balance.
async fn assert_change(
    stream: &mut Frames,
    console: &Console,
    (delta_micro, new_balance): (i64, i64),
    invoice: Option<&str>,
) {
    let (name, data) = event(stream).await;
    let kind = if delta_micro < 0 {
        "balance_debit"
    } else {
        "balance_credit"
    };
    assert_eq!(name, kind);
    assert_now(&data["at"], kind);
    let mut expected = json!({
        "kind": kind,
        "user_id": console.user_id(),
        "delta_micro": delta_micro,
        "new_balance": new_balance,
        "at": data["at"],
    });
    if let Some(invoice) = invoice {
        expected["ref_invoice_id"] = json!(invoice);
    }
    assert_eq!(data, expected);
}

#[tokio::test]
async fn credits_and_debits_are_told_in_order_to_every_stream() {
    let deployment = start(Deployment::builder().apis(2)).await;
    let console = user_with(&deployment, 7).await;
    let elsewhere = console.at(deployment.api(1).url());
    let mut streams = [open(&console).await, open(&elsewhere).await];
    let (operator, user) = (deployment.operator(), console.user_id());
    let id = invoice(&console, &starter()).await;
    operator
        .adjust(user, STARTER, "in", "a")
        .await
        .expect("adjusted");
    assert_eq!(console.pay(&id).await.expect("an answer").status, 200);
    operator
        .adjust(user, -7, "out", "b")
        .await
        .expect("adjusted");
    operator
        .adjust(user, 1, "in again", "c")
        .await
        .expect("adjusted");
    for stream in &mut streams {
        assert_change(stream, &console, (STARTER, STARTER + 7), None).await;
        assert_change(stream, &console, (-STARTER, 7), Some(&id)).await;
        // A balance of zero is told, too: the envelope has no optional number.
        assert_change(stream, &console, (-7, 0), None).await;
        assert_change(stream, &console, (1, 1), None).await;
    }
    finish(deployment).await;
}

#[tokio::test]
async fn only_what_moved_the_own_balance_is_told() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER).await;
    let other = user_with(&deployment, STARTER).await;
    let mut stream = open(&console).await;
    let (operator, user) = (deployment.operator(), console.user_id());

    operator
        .adjust(other.user_id(), 1, "not mine", "a")
        .await
        .expect("adjusted");
    let theirs = invoice(&other, &starter()).await;
    assert_eq!(other.pay(&theirs).await.expect("an answer").status, 200);
    let id = invoice(&console, &starter()).await;
    assert_eq!(
        console.pay(&theirs).await.expect("an answer").error(),
        "not_owner"
    );
    assert_eq!(console.cancel(&id).await.expect("an answer").status, 204);
    assert_eq!(operator.lock(user).await.expect("an answer").status, 200);
    assert_eq!(operator.unlock(user).await.expect("an answer").status, 200);

    operator
        .adjust(user, 3, "mine", "b")
        .await
        .expect("adjusted");
    operator
        .adjust(user, 3, "mine", "b")
        .await
        .expect("replayed");
    operator
        .adjust(user, 4, "mine", "c")
        .await
        .expect("adjusted");
    assert_change(&mut stream, &console, (3, STARTER + 3), None).await;
    assert_change(&mut stream, &console, (4, STARTER + 7), None).await;
    finish(deployment).await;
}

#[tokio::test]
async fn a_reconnection_starts_with_the_balance_of_now() {
    let deployment = start(Deployment::builder().workers(0)).await;
    let console = user(&deployment).await;
    drop(open(&console).await);
    let operator = deployment.operator();
    operator
        .adjust(console.user_id(), 5, "meanwhile", "a")
        .await
        .expect("adjusted");
    assert_eq!(
        operator
            .lock(console.user_id())
            .await
            .expect("an answer")
            .status,
        200
    );
    let mut stream = console.balance_stream().await.expect("a stream");
    let (name, data) = event(&mut stream).await;
    let expected = json!({
        "kind": "snapshot", "amount_micro": 5, "locked": true,
        "updated_at": data["updated_at"], "locked_at": data["locked_at"],
    });
    assert_eq!((name.as_str(), &data), ("snapshot", &expected));
    assert_now(&data["locked_at"], "a lock");
    // What came before the snapshot is not told again: the next event is the next change.
    operator
        .adjust(console.user_id(), 6, "now", "b")
        .await
        .expect("adjusted");
    assert_change(&mut stream, &console, (6, 11), None).await;
    finish(deployment).await;
}
