//! Sends submitted transactions again, and finds out what became of them.

use super::{SweepContext, SweepError};

pub(super) async fn sweep(context: &mut SweepContext) -> Result<(), SweepError> {
    let Some(broadcaster) = &context.broadcaster else {
        return Ok(());
    };
    // A round may wait for nodes; it can be left anywhere, for another worker takes what is due.
    tokio::select! {
        round = broadcaster.round() => Ok(round?),
        () = context.shutdown.wait() => Ok(()),
    }
}
