//! Gives money whose invoice ended while it waited to the invoice's owner.

use std::time::Duration;

use shared::ids::TraceId;
use shared::settlement::{SettlementError, settle_ended_invoices};
use tokio::sync::Notify;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(1);
/// Invoices settled in one transaction at most.
const BATCH: i32 = 100;

/// Looks until the process stops.
pub async fn sweep(context: Context) {
    let round = async |context: &Context| round(context).await;
    context
        .every("release", INTERVAL, &Notify::new(), round)
        .await;
}

/// Gives away all there is now.
pub async fn round(context: &Context) -> Result<(), SettlementError> {
    loop {
        let trace = TraceId::generate();
        let released = settle_ended_invoices(&context.pool, BATCH, &trace).await?;
        if let Some(publication) = released.publication {
            context.publisher.publish(publication);
            tracing::info!(invoices = released.count, trace_id = %trace, "money of ended invoices credited");
        }
        if released.count < BATCH {
            return Ok(());
        }
    }
}
