//! As many payments as the chain takes, and how long it is until the last of their invoices is paid.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use solana_signature::Signature;
use stack::chain::Rpc;

use super::bill::Bill;
use super::heard::Heard;
use super::node::until_confirmed;
use super::payer::{Payer, Payment};
use crate::failure::BenchError;
use crate::measure::per_second;

/// The chain carries out one transaction after the other, and holds one of its six connections' threads meanwhile:
/// more at once would only keep the watcher from asking it.
const SENDERS: usize = 3;
const LIMIT: Duration = Duration::from_mins(2);

/// A burst's outcome.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    /// Payments that the chain confirmed per second, from the first one's sending to the last one's confirmation.
    pub confirmed: f64,
    /// Invoices that were paid per second, from the first payment's sending to the last event `invoice_paid`.
    pub paid: f64,
    /// The same from the first event on: without the wait until the first payments were final.
    pub flowing: f64,
}

/// Pays all these bills at once.
pub async fn burst(
    payer: &Payer,
    rpc: &Rpc,
    heard: &Heard,
    bills: Vec<Bill>,
) -> Result<Burst, BenchError> {
    let count = bills.len();
    let invoices: Vec<String> = bills.iter().map(|bill| bill.invoice.clone()).collect();
    let mut payments: Vec<Payment> = Vec::with_capacity(count);
    for bill in bills {
        payments.push(payer.prepare(bill).await?);
    }

    let begin = Instant::now();
    let sends = payments.into_iter().map(|payment| payer.send(payment));
    let signatures: Vec<Signature> = futures::stream::iter(sends)
        .buffered(SENDERS)
        .try_collect()
        .await?;
    let confirmed_at = until_confirmed(rpc, &signatures, LIMIT).await?;
    heard.until_paid(&invoices, LIMIT).await?;
    let paid_at = invoices
        .iter()
        .filter_map(|invoice| heard.times(invoice).paid);
    let first = paid_at.clone().min().unwrap_or(begin);
    let last = paid_at.max().unwrap_or(begin);
    let rate = |from: Instant, to: Instant| per_second(count, to.saturating_duration_since(from));
    Ok(Burst {
        confirmed: rate(begin, confirmed_at),
        paid: rate(begin, last),
        flowing: rate(first, last),
    })
}
