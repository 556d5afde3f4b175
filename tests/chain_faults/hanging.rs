//! A node that takes requests and never answers, beside one that does.

use std::time::{Duration, Instant};

use fault_kit::{FakeChain, FakeNode, Fault, Reply, RpcFailure};
use shared::chain::{Commitment, Nodes};
use shared::config::{Config, Process};

use crate::waiting::until;

const TIMEOUT: Duration = Duration::from_secs(8);
/// Longer than the test.
const COOLDOWN_MS: &str = "3600000";

fn nodes(all: &[&FakeNode]) -> Nodes {
    let urls: Vec<String> = all.iter().map(|node| node.rpc_url()).collect();
    let variables = [
        (
            "DATABASE_URL",
            "postgres://quittance@localhost/none".to_owned(),
        ),
        ("SOLANA_RPC_URL", urls.join(",")),
        (
            "QUITTANCE_SOLANA_RPC_TIMEOUT_MS",
            TIMEOUT.as_millis().to_string(),
        ),
        ("QUITTANCE_SOLANA_NODE_COOLDOWN_MS", COOLDOWN_MS.to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let config = Config::from_variables(Process::Command, variables).unwrap();
    Nodes::new(&config.chain).unwrap()
}

/// Two nodes of one chain.
async fn pair() -> [FakeNode; 2] {
    let chain = FakeChain::new();
    let (first, second) = tokio::join!(FakeNode::on(&chain), FakeNode::on(&chain));
    [first.unwrap(), second.unwrap()]
}

/// Which nodes answer when all are told something at once.
async fn heard(nodes: &Nodes) -> Vec<bool> {
    let answers = nodes
        .tell_each(|node| node.slot(Commitment::Processed))
        .await;
    answers
        .into_iter()
        .map(|(_, answer)| answer.is_ok())
        .collect()
}

#[tokio::test]
async fn a_node_that_hangs_is_waited_for_once_and_heard_as_soon_as_it_answers() {
    let [good, bad] = pair().await;
    bad.fault(Fault::on_any().reply(Reply::Hang));
    let nodes = nodes(&[&good, &bad]);

    let begun = Instant::now();
    assert_eq!(heard(&nodes).await, [true, false]);
    assert!(
        begun.elapsed() >= TIMEOUT,
        "it is given its time: {:?}",
        begun.elapsed()
    );

    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(heard(&nodes).await, [true, false]);
    }
    assert!(
        begun.elapsed() < TIMEOUT,
        "it was waited for: {:?}",
        begun.elapsed()
    );

    bad.clear_faults();
    until("it is heard during its rest", async || {
        (heard(&nodes).await == [true, true]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_hung_has_its_time_when_nobody_else_answers() {
    let [first, second] = pair().await;
    second.fault(Fault::on_any().first(1).reply(Reply::Hang));
    let nodes = nodes(&[&first, &second]);
    assert_eq!(heard(&nodes).await, [true, false]);

    // Longer than one that hung is given once another has answered.
    second.fault(Fault::on_any().reply(Reply::Delay(Duration::from_secs(1))));
    let unhealthy = Reply::Error(RpcFailure::unhealthy(None));
    first.fault(Fault::on_any().reply(unhealthy));

    assert_eq!(heard(&nodes).await, [false, true]);
}
