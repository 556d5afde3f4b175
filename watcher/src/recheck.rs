//! Asks nodes that are left out whether they are of use again, however quiet it is: the next payment has their word.

use std::convert::Infallible;
use std::time::Duration;

use futures::future::join_all;
use shared::chain::Node;
use tokio::sync::Notify;

use crate::context::Context;

/// Asks until the process stops.
pub async fn sweep(context: Context) {
    let pause = Duration::from_millis(context.config.chain.solana_node_cooldown_ms);
    let round = async |context: &Context| {
        tokio::select! {
            _ = join_all(context.nodes.each().map(Node::recheck)) => {}
            () = context.shutdown.wait() => {}
        }
        Ok::<(), Infallible>(())
    };
    context.every("recheck", pause, &Notify::new(), round).await;
}
