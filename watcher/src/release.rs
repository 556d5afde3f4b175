//! Gives money that waited to whom it belongs: when its invoice ended, when the price of a SOL is known again, when it was
//! set aside and is to be tried again.

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
        let price = context.prices.sol_micro();
        let released = settle_ended_invoices(&context.pool, BATCH, price, &trace).await?;
        if let Some(publication) = released.publication {
            context.publisher.publish(publication);
            tracing::info!(invoices = released.count, trace_id = %trace, "money that waited is settled");
        }
        if !released.has_more || context.shutdown.is_stopping() {
            return Ok(());
        }
    }
}
