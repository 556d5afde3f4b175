//! Entries that no worker can read: parked where an operator sees them, and the queue goes on.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Connections, pay_once};
use crate::support::queue::{append, parked, resolve, until_empty, until_parked};
use crate::support::storm::Storm;
use crate::support::truth::check_all_paid;
use crate::support::world::{Debtor, quick, quick_to_take_over};

const LIMIT: Duration = Duration::from_secs(10);

/// Field and value of entries that are no jobs.
fn poisons() -> Vec<(&'static [u8], Vec<u8>)> {
    let job = json!({"invoice_id": "inv_0123456789abcdef", "user_id": "7f9c24e8-3b12-4fef-91d0-2a6a0a0b3b1c"});
    let envelope = |v: u64, job| {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        json!({"v": v, "id": 7, "reply_to": "nowhere", "trace_id": trace, "job": job}).to_string()
    };
    vec![
        (b"p", b"garbage".to_vec()),
        (b"p", b"".to_vec()),
        (b"p", b"\xff\xfe\x00 not text".to_vec()),
        (b"p", b"{\"v\":1,\"nul\":\"\x00\"}".to_vec()),
        (b"p", vec![b'x'; 100_000]),
        (b"x", b"no payload field".to_vec()),
        (b"p", envelope(2, job.clone()).into_bytes()),
        (b"p", envelope(1, json!({"invoice_id": 5})).into_bytes()),
        (b"p", envelope(1, json!(null)).into_bytes()),
        (b"p", vec![b'['; 5000]),
    ]
}

#[tokio::test]
async fn poison_is_parked_and_the_queue_goes_on() {
    let deployment = quick().workers(2).start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 10, 10).await;
    let storm = Storm::start(&deployment, &debtors, 16, Connections::Hold);
    let poisons = poisons();
    for (field, value) in &poisons {
        append(&deployment, field, value).await;
    }
    let settled = storm.end().await;
    for one in &settled {
        assert_eq!(one.retries, [""; 0], "{one:?}");
    }
    check_all_paid(deployment.pool(), &debtors, &settled).await;

    let jobs = until_parked(&deployment, poisons.len()).await;
    assert_eq!(jobs.len(), poisons.len());
    until_empty(&deployment, LIMIT).await;
    for job in &jobs {
        assert_eq!(
            (&job["queue"], &job["deliveries"]),
            (&json!("pay"), &json!(1))
        );
        assert!(
            job["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "{job}"
        );
    }
    let seen = |text: &str| jobs.iter().filter(|job| job["payload"] == text).count();
    assert_eq!(seen("garbage"), 1);
    let reason = |text: &str| {
        jobs.iter()
            .any(|job| job["reason"].as_str().unwrap().contains(text))
    };
    assert!(reason("version 2") && reason("undecodable"));

    // A retry of what is still poison parks it again; a discard ends it.
    resolve(&deployment, &jobs[0], "retry").await;
    for job in &jobs[1..] {
        resolve(&deployment, job, "discard").await;
    }
    let again = until_parked(&deployment, 1).await;
    assert_eq!(again[0]["payload"], jobs[0]["payload"]);
    resolve(&deployment, &again[0], "discard").await;
    assert!(parked(&deployment).await.is_empty());
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn an_entry_whose_field_is_no_text_harms_no_other() {
    let deployment = quick_to_take_over().start().await.unwrap();
    let debtors = Debtor::create_many(&deployment, 5, 4).await;
    append(&deployment, b"\xff\xfe", b"x").await;
    let storm = Storm::start(&deployment, &debtors, 20, Connections::Hold);
    append(&deployment, b"\xff\xfe", b"x").await;
    let settled = storm.end().await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    let jobs = until_parked(&deployment, 2).await;
    until_empty(&deployment, LIMIT).await;
    assert_eq!(jobs.len(), 2);
    let late = Debtor::create_many(&deployment, 1, 1).await;
    assert!(
        pay_once(&late[0].console, late[0].invoice())
            .await
            .is_paid()
    );
    deployment.finish().await.unwrap();
}
