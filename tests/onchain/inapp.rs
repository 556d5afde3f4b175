//! Payments in the app: built here, signed by the wallet, relayed or broadcast by it.

use futures::future::join_all;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use stack::chain::instructions::{memo, transfer};
use stack::chain::signing::{decode, sign_received};
use stack::chain::{Commitment, Signed, Version, Wallet};
use stack::{Answer, Console, Deployment};

use crate::scene::{
    Asked, LIMIT, RAILS, balance, builder, invoice, next_event, payer, purchase, top_up, until,
    until_balance, until_status,
};

pub async fn build(console: &Console, id: &str, payer: &Pubkey) -> Answer {
    console
        .build_inapp_tx(id, &payer.to_string())
        .await
        .unwrap()
}

pub async fn submit(console: &Console, id: &str, body: Value) -> Answer {
    console.submit_inapp_tx(id, &body).await.unwrap()
}

/// Builds and signs as a wallet does.
pub async fn signed(console: &Console, id: &str, wallet: &Wallet) -> Signed {
    let built = build(console, id, &wallet.address()).await;
    assert_eq!(built.status, 200, "{}", built.text);
    sign_received(built.body["transaction_b64"].as_str().unwrap(), wallet).unwrap()
}

async fn submission(deployment: &Deployment, signature: &str) -> Option<(String, i32)> {
    sqlx::query_as("select state, sends from relay_transactions where signature = $1")
        .bind(signature)
        .fetch_optional(deployment.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_we_build_pays_on_every_rail() {
    let deployment = builder().start().await.unwrap();
    let wallet = payer(&deployment).await;
    for rail in RAILS {
        let console = deployment.user().await.unwrap();
        let asked = invoice(&console, &purchase(rail, "crypto-inapp")).await;
        let mut stream = console.invoice_stream(&asked.id).await.unwrap();
        assert_eq!(next_event(&mut stream).await.0, "snapshot");
        let signed = signed(&console, &asked.id, &wallet).await;

        let answer = submit(&console, &asked.id, json!({"signed_b64": signed.base64()})).await;

        let signature = signed.signature().to_string();
        let expected = json!({"signature": signature, "submitted": true});
        assert_eq!((answer.status, &answer.body), (200, &expected), "{rail}");
        assert_eq!(
            next_event(&mut stream).await.0,
            "invoice_progress",
            "{rail}"
        );
        assert_eq!(next_event(&mut stream).await.0, "invoice_paid", "{rail}");
        assert_eq!(stream.next_event(LIMIT).await.unwrap(), None);
        assert_eq!(balance(&console).await, 0);

        let again = submit(&console, &asked.id, json!({"signed_b64": signed.base64()})).await;
        let expected = json!({
            "signature": signature, "submitted": false, "already_processed": true, "status": "paid",
        });
        assert_eq!((again.status, again.body), (200, expected));
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_built_transaction_is_the_same_but_for_its_blockhash() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    for rail in RAILS {
        let asked = invoice(&console, &purchase(rail, "crypto-inapp")).await;
        let built = [
            build(&console, &asked.id, &wallet.address()).await,
            build(&console, &asked.id, &wallet.address()).await,
        ];
        let messages = built.map(|built| {
            assert_eq!(built.status, 200, "{}", built.text);
            let transaction = decode(built.body["transaction_b64"].as_str().unwrap()).unwrap();
            let mut message = transaction.message;
            assert_eq!(
                message.recent_blockhash().to_string(),
                built.body["blockhash"]
            );
            let valid_until = built.body["blockhash_valid_until"]
                .as_str()
                .unwrap()
                .to_owned();
            let valid_until = time::OffsetDateTime::parse(
                &valid_until,
                &time::format_description::well_known::Rfc3339,
            );
            let left = valid_until.unwrap() - time::OffsetDateTime::now_utc();
            assert!(
                left.is_positive() && left < time::Duration::minutes(5),
                "{left}"
            );
            message.set_recent_blockhash(solana_hash::Hash::default());
            message
        });
        assert_eq!(messages[0], messages[1]);
        let keys = messages[0].static_account_keys();
        let last = messages[0].instructions().last().unwrap();
        let named: Vec<Pubkey> = last
            .accounts
            .iter()
            .map(|index| keys[usize::from(*index)])
            .collect();
        assert!(
            named.ends_with(&asked.references),
            "{rail}: the references are last"
        );
    }
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn the_recipients_token_account_is_made_once() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let count = async |asked: &Asked| {
        let built = build(&console, &asked.id, &wallet.address()).await;
        let transaction = decode(built.body["transaction_b64"].as_str().unwrap()).unwrap();
        transaction.message.instructions().len()
    };
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-inapp")).await;
    assert_eq!(
        count(&asked).await,
        4,
        "two of the budget, the account, the transfer"
    );
    let chain = deployment.chain();
    chain
        .create_token_account(chain.usdc(), &asked.recipient)
        .await
        .unwrap();
    until("the account is found", async || {
        (count(&asked).await == 3).then_some(())
    })
    .await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_wallet_that_broadcasts_itself_hands_over_the_signature() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &top_up("sol-spl-usdt", "crypto-inapp", 3_000_000)).await;
    let signed = signed(&console, &asked.id, &wallet).await;
    deployment
        .chain()
        .send_and_confirm(&signed, Commitment::Confirmed)
        .await
        .unwrap();

    let signature = signed.signature().to_string();
    let answer = submit(&console, &asked.id, json!({"signature": signature})).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["signature"], signature);
    until_status(&console, &asked.id, "paid").await;
    until_balance(&console, 3_000_000).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_06_a_foreign_signature_as_proof_changes_nothing() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let mine = invoice(&console, &top_up("sol-spl-usdc", "crypto-inapp", 3_000_000)).await;
    let other = invoice(&console, &top_up("sol-spl-usdc", "crypto-inapp", 3_000_000)).await;
    let signed = signed(&console, &mine.id, &wallet).await;
    deployment
        .chain()
        .send_and_confirm(&signed, Commitment::Confirmed)
        .await
        .unwrap();
    let body = json!({"signature": signed.signature().to_string()});

    let claims = (0..100).map(|turn| {
        let id = if turn % 2 == 0 { &mine.id } else { &other.id };
        submit(&console, id, body.clone())
    });
    for answer in join_all(claims).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    until_status(&console, &mine.id, "paid").await;
    until_balance(&console, 3_000_000).await;
    let other = console.get_invoice(&other.id).await.unwrap().body;
    assert_eq!(
        (&other["status"], &other["payments_received_micro"]),
        (&"pending".into(), &0.into())
    );
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_56_the_same_bytes_fifty_times_are_one_submission() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let asked = invoice(&console, &top_up("sol-spl-usdc", "crypto-inapp", 3_000_000)).await;
    let signed = signed(&console, &asked.id, &wallet).await;

    let body = json!({"signed_b64": signed.base64()});
    let answers = join_all((0..50).map(|_| submit(&console, &asked.id, body.clone()))).await;

    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body["signature"], signed.signature().to_string());
    }
    until_status(&console, &asked.id, "paid").await;
    until_balance(&console, 3_000_000).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from relay_transactions")
        .fetch_one(deployment.pool())
        .await
        .unwrap();
    assert_eq!(rows, 1);
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_53_to_59_what_is_not_this_invoices_payment_is_rejected() {
    let deployment = builder().start().await.unwrap();
    let (console, wallet) = (deployment.user().await.unwrap(), payer(&deployment).await);
    let chain = deployment.chain();
    let asked = invoice(&console, &purchase("sol-spl-usdc", "crypto-inapp")).await;
    let other = invoice(&console, &purchase("sol-spl-usdc", "crypto-inapp")).await;
    let me = wallet.address();
    let right = asked.pay(chain, &me, asked.units);
    let both = [asked.references.clone(), vec![other.reference()]].concat();
    let with = |extra| [vec![extra], right.clone()].concat();
    let cases = [
        ("another invoice's", other.pay(chain, &me, other.units)),
        (
            "both references",
            asked.pay_naming(chain, &me, asked.units, &both),
        ),
        (
            "no reference",
            asked.pay_naming(chain, &me, asked.units, &[]),
        ),
        ("too little", asked.pay(chain, &me, asked.units - 1)),
        (
            "another transfer",
            with(transfer(&me, &Pubkey::new_unique(), 1, &[])),
        ),
        (
            "an unknown program",
            with(solana_instruction::Instruction {
                program_id: Pubkey::new_unique(),
                accounts: Vec::new(),
                data: Vec::new(),
            }),
        ),
    ];
    for (name, steps) in cases {
        let transaction = chain
            .sign(Version::Legacy, &wallet, &[], &steps)
            .await
            .unwrap();
        let answer = submit(
            &console,
            &asked.id,
            json!({"signed_b64": transaction.base64()}),
        )
        .await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text);
        assert!(
            answer.error().starts_with("tx_rejected: "),
            "{name}: {}",
            answer.text
        );
        let stored = submission(&deployment, &transaction.signature().to_string()).await;
        assert_eq!(stored, None, "{name}");
    }
    // Notes and another order are a wallet's business.
    let steps = [vec![memo("hello", &[])], right].concat();
    let transaction = chain.sign(Version::V0, &wallet, &[], &steps).await.unwrap();
    let answer = submit(
        &console,
        &asked.id,
        json!({"signed_b64": transaction.base64()}),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    until_status(&console, &asked.id, "paid").await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn dust_that_the_treasury_could_not_hold_is_refused_at_creation() {
    // A treasury that nobody has ever paid.
    let empty = Wallet::random().address().to_string();
    let deployment = builder()
        .env("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", empty)
        .start()
        .await
        .unwrap();
    let console = deployment.user().await.unwrap();
    let refused = console
        .create_invoice(&top_up("sol-native", "crypto-inapp", 1))
        .await
        .unwrap();
    assert_eq!((refused.status, refused.error()), (400, "amount_too_small"));
    let created = console
        .create_invoice(&top_up("sol-native", "crypto-inapp", 49_000_000))
        .await
        .unwrap();
    assert_eq!(created.status, 201, "{}", created.text);
    deployment.finish().await.unwrap();
}
