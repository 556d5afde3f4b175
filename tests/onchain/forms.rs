//! Every form a transaction may take: versions, lookup tables, things around the transfer.

use solana_address_lookup_table_interface::instruction::{
    create_lookup_table, extend_lookup_table,
};
use solana_message::AddressLookupTableAccount;
use stack::chain::instructions::{memo, transfer_unchecked};
use stack::chain::signing::sign_with_tables;
use stack::chain::{Commitment, Version};

use crate::scene::{RAILS, builder, invoice, payer, purchase, until, until_status};

#[tokio::test]
async fn case_36_every_version_of_a_transaction_pays() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    for version in [Version::Legacy, Version::V0, Version::V1] {
        for rail in RAILS {
            let asked = invoice(&console, &purchase(rail, "crypto-onchain")).await;
            let steps = asked.pay(chain, &wallet.address(), asked.units);
            let signed = chain.sign(version, &wallet, &[], &steps).await.unwrap();
            chain
                .send_and_confirm(&signed, Commitment::Confirmed)
                .await
                .unwrap();
            until_status(&console, &asked.id, "paid").await;
        }
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_35_keys_out_of_a_lookup_table_pay() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    chain
        .create_token_account(&asked.token(chain), &asked.recipient)
        .await
        .unwrap();
    let slot = chain.rpc().slot(Commitment::Finalized).await.unwrap();
    let (create, table) = create_lookup_table(wallet.address(), wallet.address(), slot);
    let mut keys = asked.references.clone();
    keys.push(asked.token(chain).account_of(&asked.recipient));
    let extend = extend_lookup_table(
        table,
        wallet.address(),
        Some(wallet.address()),
        keys.clone(),
    );
    chain
        .transact(&wallet, &[], &[create, extend])
        .await
        .unwrap();
    // A table's new keys can be used from the next slot on.
    let extended = chain.rpc().slot(Commitment::Confirmed).await.unwrap();
    until("a later slot", async || {
        (chain.rpc().slot(Commitment::Confirmed).await.unwrap() > extended + 1).then_some(())
    })
    .await;

    let steps = asked.pay(chain, &wallet.address(), asked.units);
    let transfer = steps.last().unwrap().clone();
    let tables = [AddressLookupTableAccount {
        key: table,
        addresses: keys,
    }];
    let blockhash = chain.rpc().latest_blockhash().await.unwrap().blockhash;
    let signed = sign_with_tables(&wallet, &[], &[transfer], &tables, blockhash).unwrap();
    let named = signed.transaction.message.static_account_keys();
    assert!(
        !named.contains(&asked.reference()),
        "the reference must come out of the table"
    );
    chain
        .send_and_confirm(&signed, Commitment::Confirmed)
        .await
        .unwrap();

    until_status(&console, &asked.id, "paid").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_19_an_unchecked_transfer_with_notes_around_it_pays() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let asked = invoice(&console, &purchase("sol-spl-usdt", "crypto-onchain")).await;
    let token = asked.token(chain);
    chain
        .create_token_account(&token, &asked.recipient)
        .await
        .unwrap();
    let steps = [
        memo("before", &[]),
        transfer_unchecked(
            &token,
            &wallet.address(),
            &asked.recipient,
            asked.units,
            &asked.references,
        ),
        memo("after", &[]),
    ];
    chain.transact(&wallet, &[], &steps).await.unwrap();
    until_status(&console, &asked.id, "paid").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_33_a_failed_transaction_first_does_no_harm() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-onchain")).await;
    // More than the wallet has: it lands and fails.
    let steps = asked.pay(chain, &wallet.address(), 3_000_000_000_000);
    let failing = chain
        .sign(Version::Legacy, &wallet, &[], &steps)
        .await
        .unwrap();
    let sent = chain.rpc().send(&failing.bytes, true).await;
    let landed = chain
        .confirm(&failing.signature(), Commitment::Confirmed)
        .await;
    assert!(sent.is_err() || landed.is_err(), "it must fail");

    crate::scene::pay(&deployment, &wallet, &asked).await;

    until_status(&console, &asked.id, "paid").await;
    assert_eq!(crate::scene::balance(&console).await, 0);
    deployment.finish().await.unwrap();
}
