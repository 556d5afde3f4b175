//! Ends overdue invoices.

use shared::ids::TraceId;
use shared::settlement::expire;

use super::{SweepContext, SweepError};

/// Invoices expired in one transaction at most.
const BATCH: i32 = 500;

pub(super) async fn sweep(context: &mut SweepContext) -> Result<(), SweepError> {
    loop {
        let trace = TraceId::generate();
        let expired = expire(&context.pool, BATCH, &trace).await?;
        if let Some(publication) = expired.publication {
            context.publisher.publish(publication);
            tracing::info!(count = expired.count, trace_id = %trace, "invoices expired");
        }
        if !expired.has_more || context.shutdown.is_stopping() {
            return Ok(());
        }
    }
}
