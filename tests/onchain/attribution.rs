//! Whose money it is: references on a treasury that everybody pays to.

use serde_json::Value;
use solana_pubkey::Pubkey;
use stack::Deployment;
use stack::chain::instructions::transfer;

use crate::scene::{
    balance, builder, invoice, payer, purchase, until, until_examined, until_status,
};

/// Why tokens wait; the lamports that the treasury was founded with do, too.
async fn open_reasons(deployment: &Deployment) -> Vec<String> {
    sqlx::query_scalar(
        "select reason from unattributed_deposits where resolved_at is null and account <> $1 order by id",
    )
    .bind(deployment.chain().deposit_address().to_string())
    .fetch_all(deployment.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn case_01_one_transfer_with_two_references_credits_nobody() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let first = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let second = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let chain = deployment.chain();
    let names = [first.reference(), second.reference()];
    let steps = first.pay_naming(chain, &wallet.address(), first.units, &names);

    let signature = chain.transact(&wallet, &[], &steps).await.unwrap();

    until_examined(&deployment, &signature.to_string()).await;
    assert_eq!(open_reasons(&deployment).await, ["ambiguous"]);
    for asked in [&first, &second] {
        let invoice = console.get_invoice(&asked.id).await.unwrap().body;
        assert_eq!(
            (&invoice["status"], &invoice["payments_received_micro"]),
            (&"pending".into(), &0.into())
        );
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_02_two_transfers_in_one_transaction_pay_two_invoices() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let first = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let second = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let chain = deployment.chain();
    let mut steps = first.pay(chain, &wallet.address(), first.units);
    steps.extend(second.pay(chain, &wallet.address(), second.units));

    chain.transact(&wallet, &[], &steps).await.unwrap();

    until_status(&console, &first.id, "paid").await;
    until_status(&console, &second.id, "paid").await;
    assert_eq!(balance(&console).await, 0);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_04_a_reference_elsewhere_in_the_transaction_is_enough_two_are_not() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let first = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let second = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    let beacon = &first.references[1..];

    let mut both = first.pay_naming(chain, &wallet.address(), first.units, beacon);
    let me = wallet.address();
    let names = [first.reference(), second.reference()];
    both.push(transfer(&me, &me, 1, &names));
    let signature = chain.transact(&wallet, &[], &both).await.unwrap();
    until_examined(&deployment, &signature.to_string()).await;
    assert_eq!(open_reasons(&deployment).await, ["ambiguous"]);

    let mut one = first.pay_naming(chain, &wallet.address(), first.units, beacon);
    one.push(transfer(
        &wallet.address(),
        &wallet.address(),
        1,
        &[first.reference()],
    ));
    chain.transact(&wallet, &[], &one).await.unwrap();
    until_status(&console, &first.id, "paid").await;
    let second: Value = console.get_invoice(&second.id).await.unwrap().body;
    assert_eq!(second["status"], "pending");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_10_money_without_a_reference_is_nobodys() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    // The beacon alone, then a reference that was never issued.
    for names in [asked.references[1..].to_vec(), vec![Pubkey::new_unique()]] {
        let steps = asked.pay_naming(chain, &wallet.address(), asked.units, &names);
        let signature = chain.transact(&wallet, &[], &steps).await.unwrap();
        until_examined(&deployment, &signature.to_string()).await;
    }
    assert_eq!(open_reasons(&deployment).await, ["untagged", "untagged"]);
    let invoice = console.get_invoice(&asked.id).await.unwrap().body;
    assert_eq!(invoice["status"], "pending");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_14_the_wrong_token_pays_nothing() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    // A token of somebody's making, and the deployment's other token.
    let fake = chain.create_token().await.unwrap();
    chain
        .mint_tokens(&fake, &wallet.address(), asked.units)
        .await
        .unwrap();
    for token in [fake, *chain.usdt()] {
        let other = crate::scene::Asked {
            mint: Some(token.mint),
            ..asked.clone()
        };
        let steps = vec![
            stack::chain::instructions::create_token_account(
                &wallet.address(),
                &asked.recipient,
                &token,
            ),
            stack::chain::instructions::transfer_tokens(
                &token,
                &wallet.address(),
                &asked.recipient,
                asked.units,
                &other.references,
            ),
        ];
        let signature = chain.transact(&wallet, &[], &steps).await.unwrap();
        until_examined(&deployment, &signature.to_string()).await;
    }
    until("both are listed", async || {
        (open_reasons(&deployment).await == ["other_account", "other_rail"]).then_some(())
    })
    .await;
    let invoice = console.get_invoice(&asked.id).await.unwrap().body;
    assert_eq!(
        (&invoice["status"], &invoice["payments_received_micro"]),
        (&"pending".into(), &0.into())
    );
    deployment.finish().await.unwrap();
}
