//! Many worthless transactions, and one that is worth something.

use fault_kit::{
    Delivery, FakeTransaction, NotificationFault, RpcMethod, TopicKind, TransactionBuilder,
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use crate::books::until_paid_once;
use crate::scene::{Bill, NEVER_MS, Net};
use crate::waiting::{LIMIT, until, until_status};

/// Where the only signature of a transaction without a version begins.
const SIGNATURE_AT: usize = 1;

/// The deposit accounts of three rails and the beacon.
const KEYS: u64 = 4;

/// So many transactions that name these keys and pay nobody we know; every second one fails. One is signed, the others
/// are copies under signatures of their own.
fn worthless(net: &Net, count: usize, names: &[Pubkey]) -> Vec<FakeTransaction> {
    let somebody = Pubkey::new_unique();
    let build = |failing: bool| {
        let one = TransactionBuilder::new(&Keypair::new(), net.chain.blockhash());
        let one = one.sol_transfer(somebody, 1, names);
        if failing {
            one.failing(TransactionError::AccountInUse).build().unwrap()
        } else {
            one.build().unwrap()
        }
    };
    let models = [build(false), build(true)];
    (0..count)
        .map(|turn| copy(&models[turn % models.len()]))
        .collect()
}

fn copy(model: &FakeTransaction) -> FakeTransaction {
    let bytes: Vec<u8> = std::iter::repeat_with(rand::random).take(64).collect();
    let mut copy = model.clone();
    copy.wire[SIGNATURE_AT..][..bytes.len()].copy_from_slice(&bytes);
    copy.signature = Signature::try_from(bytes.as_slice()).unwrap();
    copy
}

#[tokio::test]
async fn case_34_a_flood_that_names_an_invoice_stops_neither_it_nor_others() {
    const FLOOD: usize = 1_500;
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    net.chain
        .land_all(worthless(&net, FLOOD, &bills[0].references));
    net.chain.land(net.payment(&bills[1]));
    net.chain.land(net.payment(&bills[0]));

    for bill in &bills {
        until_status(bill, "paid").await;
    }

    until("the flood is over", async || {
        let open: i64 = sqlx::query_scalar(
            "select count(*) from chain_signatures where state in ('found', 'confirmed')",
        )
        .fetch_one(deployment.pool())
        .await
        .unwrap();
        (open == 0).then_some(())
    })
    .await;
    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    // Each is looked at when it is confirmed and when it is final.
    let looks = net.node().count(RpcMethod::GetTransaction);
    let most = u64::try_from(2 * (FLOOD + bills.len())).unwrap();
    assert!(looks <= most + most / 20, "{looks} looks");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_34_a_payment_behind_a_page_of_dust_is_found_by_its_reference_alone() {
    let net = Net::start(1).await;
    // Neither the subscription nor the accounts' histories say anything.
    let builder = net
        .builder()
        .env("QUITTANCE_WATCH_POLL_INTERVAL_MS", NEVER_MS);
    let deployment = net.launch(builder).await;
    let silence = NotificationFault::on(TopicKind::Logs).deliver(Delivery::Omit);
    net.node().notification_fault(silence);
    let bill = Bill::new(&deployment).await;
    // Histories are read twice when a subscription begins.
    net.node()
        .wait_for_calls(RpcMethod::GetSignaturesForAddress, 2 * KEYS, LIMIT)
        .await
        .unwrap();
    let reference = &bill.references[..1];
    net.chain.land_all(worthless(&net, 300, reference));
    net.chain.land(net.payment(&bill));
    net.chain.land_all(worthless(&net, 1_200, reference));

    until_paid_once(&deployment, &[&bill]).await;

    let calls = net.node().calls(RpcMethod::GetSignaturesForAddress);
    let pages = calls
        .iter()
        .filter(|call| call.params[0] == reference[0].to_string());
    let pages = pages.filter(|call| call.params[1]["before"].is_string());
    assert!(pages.count() > 0, "it was on the second page");
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn a_history_of_several_pages_since_the_cursor_is_read_to_its_end() {
    let net = Net::start(1).await;
    let deployment = net.launch(net.builder()).await;
    let silence = NotificationFault::on(TopicKind::Logs).deliver(Delivery::Omit);
    net.node().notification_fault(silence);
    let bills = Bill::several(&deployment, 3).await;
    let beacon = [net.beacon()];
    // The oldest, one in the middle, and the newest of 2,500.
    let mut rows = vec![net.payment(&bills[0])];
    rows.extend(worthless(&net, 1_200, &beacon));
    rows.push(net.payment(&bills[1]));
    rows.extend(worthless(&net, 1_297, &beacon));
    rows.push(net.payment(&bills[2]));

    net.chain.land_all(rows);

    until_paid_once(&deployment, &[&bills[0], &bills[1], &bills[2]]).await;
    // The payments are in the histories of their accounts, too, which may have been read before.
    let known = async || {
        let count = sqlx::query_scalar("select count(*) from chain_signatures");
        let known: i64 = count.fetch_one(deployment.pool()).await.unwrap();
        (known == 2_500).then_some(())
    };
    until("all rows are known", known).await;
    deployment.finish().await.unwrap();
}
