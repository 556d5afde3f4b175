//! Several nodes that do not say the same.

use fault_kit::{Fault, Reply, RpcMethod};

use crate::books::{moved, until_paid_once};
use crate::scene::{Bill, Net};
use crate::waiting::{LIMIT, metric, until, until_received, until_status};

#[tokio::test]
async fn case_49_nothing_is_paid_while_a_node_that_must_know_says_otherwise() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    let payment = net.payment(&bills[0]);
    net.nodes[1].hide(&payment.signature);
    let signature = net.chain.land(payment);
    until_received(&bills[0], bills[0].micro).await;
    until("the nodes disagree", async || {
        let name = "quittance_node_disagreements_total";
        (metric(deployment.watcher(0), name).await > 0.5).then_some(())
    })
    .await;
    net.chain.land(net.payment(&bills[1]));
    until_paid_once(&deployment, &[&bills[1]]).await;
    assert_eq!(bills[0].now().await["status"], "pending");

    net.nodes[1].show(&signature);

    until_paid_once(&deployment, &[&bills[0], &bills[1]]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_49_it_does_not_matter_which_of_the_nodes_lacks_it() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bills = Bill::several(&deployment, 2).await;
    let payment = net.payment(&bills[0]);
    net.nodes[0].hide(&payment.signature);
    let signature = net.chain.land(payment);
    until_received(&bills[0], bills[0].micro).await;
    until("the nodes disagree", async || {
        let name = "quittance_node_disagreements_total";
        (metric(deployment.watcher(0), name).await > 0.5).then_some(())
    })
    .await;
    assert_eq!(moved(&deployment).await, (0, 0));

    net.nodes[0].show(&signature);

    until_paid_once(&deployment, &[&bills[0]]).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn case_49_a_node_that_only_lags_does_not_hold_payments_up() {
    for late in [1, 0] {
        let net = Net::start(2).await;
        let deployment = net.launch(net.builder()).await;
        let bill = Bill::new(&deployment).await;
        // It answers, and stays where it is.
        net.nodes[late].set_stuck(true);
        net.chain.advance(50);

        net.chain.land(net.payment(&bill));

        until_paid_once(&deployment, &[&bill]).await;
        let name = "quittance_node_disagreements_total";
        let disagreements = metric(deployment.watcher(0), name).await;
        assert!(disagreements < 0.5, "{disagreements} disagreements");
        deployment.finish().await.unwrap();
    }
}

#[tokio::test]
async fn case_49_a_dead_node_does_not_hold_payments_up() {
    for (dead, how) in [(1, Reply::Disconnect), (1, Reply::Hang), (0, Reply::Hang)] {
        let net = Net::start(2).await;
        let deployment = net.launch(net.builder()).await;
        let bill = Bill::new(&deployment).await;
        // Calls over HTTP only: the socket is another matter.
        let fault = Fault::on_any().when(|call| call.socket.is_none());
        net.nodes[dead].fault(fault.reply(how));

        net.chain.land(net.payment(&bill));

        until_paid_once(&deployment, &[&bill]).await;
        deployment.finish().await.unwrap();
    }
}

#[tokio::test]
async fn what_one_node_forgets_another_one_remembers() {
    let net = Net::start(2).await;
    let deployment = net.launch(net.builder()).await;
    let bill = Bill::new(&deployment).await;
    let payment = net.payment(&bill);
    let signature = net.chain.land(payment);
    net.chain.confirm(&signature).unwrap();
    until_received(&bill, bill.micro).await;
    net.nodes[0].hide(&signature);
    // Long enough for it to be gone, if nobody knew it.
    net.chain.advance(200);
    let asked = net.nodes[1].count(RpcMethod::GetSignatureStatuses) + 5;
    net.nodes[1]
        .wait_for_calls(RpcMethod::GetSignatureStatuses, asked, LIMIT)
        .await
        .unwrap();
    let invoice = until_received(&bill, bill.micro).await;
    assert_eq!(invoice["status"], "pending");

    net.nodes[0].show(&signature);
    net.chain.unpin(&signature).unwrap();

    until_status(&bill, "paid").await;
    until_paid_once(&deployment, &[&bill]).await;
    let reversals = metric(deployment.watcher(0), "quittance_chain_reversals_total").await;
    assert!(reversals < 0.5, "{reversals} reversals");
    deployment.finish().await.unwrap();
}
