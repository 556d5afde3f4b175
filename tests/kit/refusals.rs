//! What the wallet does not do: its judgment counts only if it can be negative.

use serde_json::json;
use stack::chain::Wallet;

use crate::checkout::{SOL, USDC, buys, deployment, finish, funded};
use crate::node::{gives_up, job, node};

#[tokio::test]
async fn the_judges_have_teeth() {
    let arguments = ["--test", "--test-reporter=tap", "refusals.test.js"];
    let output = node(&arguments, "").await;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    let count = |name: &str| {
        let line = report.lines().rfind(|line| line.starts_with(name));
        let number = line.and_then(|line| line[name.len()..].trim().parse::<u32>().ok());
        number.expect("a count")
    };
    assert!(count("# tests") > 1, "{report}");
    assert_eq!(count("# pass"), count("# tests"), "{report}");
}

#[tokio::test]
async fn a_wallet_that_cannot_pay_says_why() {
    let deployment = deployment().await;
    let wallet = funded(&deployment).await;

    // The API refuses: the invoice is over.
    let bought = buys(&deployment, USDC, "crypto-inapp").await;
    let cancelled = bought.console.cancel(&bought.id).await.expect("an answer");
    assert_eq!(cancelled.status, 204, "{}", cancelled.text);
    let mut told = job(&deployment, &bought.console, &wallet);
    told["way"] = json!("relayed");
    told["invoice_id"] = json!(bought.id);
    let complaint = gives_up(&told).await;
    assert!(
        complaint.contains("invoice_not_pending: cancelled"),
        "{complaint}"
    );

    // The chain would refuse: the wallet is empty.
    let bought = buys(&deployment, SOL, "crypto-onchain").await;
    let mut told = job(&deployment, &bought.console, &Wallet::random());
    told["way"] = json!("scanned");
    told["uri"] = json!(bought.qr_uri);
    told["version"] = json!("legacy");
    let complaint = gives_up(&told).await;
    assert!(
        complaint.contains("the outcome of the simulation"),
        "{complaint}"
    );
    bought.assert_pending(&deployment).await;
    finish(deployment).await;
}
