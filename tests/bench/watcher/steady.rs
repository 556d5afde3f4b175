//! Payments at a modest rate, and how soon clients are told about them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use solana_signature::Signature;
use stack::chain::Rpc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::bill::Bill;
use super::heard::Heard;
use super::node::{Followed, Said, Sent, follow};
use super::payer::Payer;
use crate::failure::BenchError;

const LIMIT: Duration = Duration::from_mins(1);

/// How soon clients were told.
#[derive(Debug, Clone, Default)]
pub struct Steady {
    /// From the node's `confirmed` to the event `invoice_progress`.
    pub progress: Vec<Duration>,
    /// From the node's `finalized` to the event `invoice_paid`.
    pub paid: Vec<Duration>,
    /// The times between two questions to the node.
    pub gaps: Vec<Duration>,
    /// Invoices that were paid without the event `invoice_progress`.
    pub silent: usize,
}

/// Pays one bill after the other.
pub async fn steady(
    payer: &Arc<Payer>,
    rpc: &Rpc,
    heard: &Heard,
    bills: Vec<Bill>,
    interval: Duration,
) -> Result<Steady, BenchError> {
    let invoices: Vec<String> = bills.iter().map(|bill| bill.invoice.clone()).collect();
    let (teller, news) = unbounded_channel();
    let (followed, ()) =
        tokio::try_join!(follow(rpc, news), send_all(payer, bills, interval, teller))?;
    heard.until_paid(&invoices, LIMIT).await?;
    let Followed { said, gaps } = followed;
    Ok(compare(&invoices, &said, heard, gaps))
}

/// Sends in time, whether the earlier ones have been taken or not.
async fn send_all(
    payer: &Arc<Payer>,
    bills: Vec<Bill>,
    interval: Duration,
    teller: UnboundedSender<Sent>,
) -> Result<(), BenchError> {
    let mut ticks = tokio::time::interval(interval);
    let mut sends: JoinSet<Result<Signature, BenchError>> = JoinSet::new();
    for bill in bills {
        ticks.tick().await;
        let payment = payer.prepare(bill).await?;
        let sent = Sent {
            signature: payment.signature(),
            invoice: payment.bill.invoice.clone(),
        };
        // Nobody listens any more only when following has failed, which ends this, too.
        let _ = teller.send(sent);
        let payer = Arc::clone(payer);
        sends.spawn(async move { payer.send(payment).await });
    }
    drop(teller);
    while let Some(sent) = sends.join_next().await {
        sent??;
    }
    Ok(())
}

fn compare(
    invoices: &[String],
    said: &HashMap<String, Said>,
    heard: &Heard,
    gaps: Vec<Duration>,
) -> Steady {
    let mut steady = Steady {
        gaps,
        ..Steady::default()
    };
    let since = |from: Option<Instant>, to: Option<Instant>| {
        // Told before we have heard it from the node ourselves is at once.
        from.zip(to)
            .map(|(from, to)| to.saturating_duration_since(from))
    };
    for invoice in invoices {
        let said = said.get(invoice).copied().unwrap_or_default();
        let times = heard.times(invoice);
        match since(said.confirmed, times.progress) {
            Some(progress) => steady.progress.push(progress),
            None => steady.silent += 1,
        }
        steady.paid.extend(since(said.finalized, times.paid));
    }
    steady
}
