//! The debit called directly from Rust: no HTTP, no queue, one call and one commit for each payment.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use sqlx::{Connection as _, PgConnection};

use crate::debit::{DEBIT, PAID, TRACE};
use crate::failure::BenchError;
use crate::load::{Run, closed};
use crate::stock::{Due, Payer};

/// Has so many callers, each with a connection of its own, debit until the time is over or everything is paid.
pub async fn direct(
    database_url: &str,
    payers: &Arc<Vec<Payer>>,
    dues: Vec<Due>,
    callers: usize,
    time: Duration,
) -> Result<Run, BenchError> {
    let connections =
        try_join_all((0..callers).map(|_| PgConnection::connect(database_url))).await?;
    let (payers, dues) = (Arc::clone(payers), Arc::new(dues));
    closed(connections, dues.len(), time, move |connection, place| {
        let (payers, dues) = (Arc::clone(&payers), Arc::clone(&dues));
        async move {
            let due = dues.get(place);
            let payer = due.and_then(|due| payers.get(due.payer));
            match (due, payer) {
                (Some(due), Some(payer)) => debit(connection, due, payer).await,
                _ => Ok(connection),
            }
        }
    })
    .await
}

async fn debit(
    mut connection: PgConnection,
    due: &Due,
    payer: &Payer,
) -> Result<PgConnection, BenchError> {
    let outcome: String = sqlx::query_scalar(DEBIT)
        .bind(due.invoice_id())
        .bind(payer.user_id)
        .bind(TRACE)
        .fetch_one(&mut connection)
        .await?;
    if outcome == PAID {
        Ok(connection)
    } else {
        Err(BenchError::Answer(outcome))
    }
}
