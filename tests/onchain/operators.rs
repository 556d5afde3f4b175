//! Deposits that an operator decides about.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{balance, builder, invoice, payer, purchase, until, until_status};

#[tokio::test]
async fn case_65_a_deposit_without_a_reference_pays_the_invoice_an_operator_names() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let other_rail = invoice(&console, &purchase("sol-spl-usdt", "crypto-onchain")).await;
    // As an exchange withdraws: no reference, no beacon.
    let steps = asked.pay_naming(chain, &wallet.address(), asked.units, &[]);
    chain.transact(&wallet, &[], &steps).await.unwrap();
    let operator = deployment.operator();
    let listed = until("the deposit is listed", async || {
        let answer = operator
            .raw(Method::GET, "/ops/v1/unattributed", None)
            .await
            .unwrap();
        // The lamports that the treasury was founded with are nobody's, either.
        let listed = answer.body["unattributed"].as_array().unwrap().clone();
        listed.into_iter().find(|row| row["rail"] != "sol-native")
    })
    .await;
    assert_eq!(
        (&listed["reason"], &listed["units"]),
        (&"untagged".into(), &49_000_000.into())
    );
    assert_eq!(listed["rail"], "sol-spl-usdc");
    let path = format!("/ops/v1/unattributed/{}/attribute", listed["id"]);
    let attribute = async |id: &str| {
        let body = json!({"invoice_id": id, "note": "the customer showed the withdrawal"});
        operator
            .raw(Method::POST, &path, Some(&body))
            .await
            .unwrap()
    };

    let refused = attribute(&other_rail.id).await;
    assert_eq!(
        (refused.status, refused.error()),
        (409, "invoice_does_not_fit")
    );
    let done = attribute(&asked.id).await;
    assert_eq!(
        (done.status, &done.body["resolution"]),
        (200, &Value::from("attributed"))
    );
    assert_eq!(attribute(&asked.id).await.status, 404);

    until_status(&console, &asked.id, "paid").await;
    assert_eq!(balance(&console).await, 0);
    deployment.finish().await.unwrap();
}
