//! The events that clients hear, with the moment they were heard: Redis' own, before any stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use redis::Msg;
use serde::Deserialize;
use stack::Deployment;
use tokio::task::JoinHandle;

use crate::failure::BenchError;

const POLL: Duration = Duration::from_millis(10);

/// When an invoice's events were heard first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// `invoice_progress`.
    pub progress: Option<Instant>,
    /// `invoice_paid`.
    pub paid: Option<Instant>,
}

#[derive(Deserialize)]
struct Message {
    kind: String,
}

type ByInvoice = HashMap<String, Times>;

/// Listens to the events of all invoices until it is dropped.
pub struct Heard {
    times: Arc<Mutex<ByInvoice>>,
    task: JoinHandle<()>,
}

impl Heard {
    /// Begins to listen.
    pub async fn listen(deployment: &Deployment) -> Result<Self, BenchError> {
        let settings = deployment.settings();
        let client = redis::Client::open(settings.redis_url.as_str())?;
        let mut subscription = client.get_async_pubsub().await?;
        let channels = format!("{}:event:invoice:*", settings.redis_prefix);
        subscription.psubscribe(channels).await?;
        let times: Arc<Mutex<ByInvoice>> = Arc::default();
        let noted = Arc::clone(&times);
        let task = tokio::spawn(async move {
            let mut messages = subscription.into_on_message();
            while let Some(message) = messages.next().await {
                let at = Instant::now();
                note(&mut locked(&noted), &message, at);
            }
        });
        Ok(Self { times, task })
    }

    /// Waits until all these invoices are paid.
    pub async fn until_paid(&self, invoices: &[String], limit: Duration) -> Result<(), BenchError> {
        let deadline = Instant::now() + limit;
        loop {
            let unpaid = {
                let times = locked(&self.times);
                let is_unpaid =
                    |id: &&String| times.get(*id).is_none_or(|times| times.paid.is_none());
                invoices.iter().filter(is_unpaid).count()
            };
            if unpaid == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let all = invoices.len();
                return Err(BenchError::Unpaid { unpaid, all, limit });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What was heard about an invoice.
    pub fn times(&self, invoice: &str) -> Times {
        locked(&self.times)
            .get(invoice)
            .copied()
            .unwrap_or_default()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked(times: &Mutex<ByInvoice>) -> MutexGuard<'_, ByInvoice> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The channel ends with the invoice's id.
fn note(times: &mut ByInvoice, message: &Msg, at: Instant) {
    let invoice = message
        .get_channel_name()
        .rsplit(':')
        .next()
        .unwrap_or_default();
    let Ok(Message { kind }) = serde_json::from_slice(message.get_payload_bytes()) else {
        return;
    };
    let times = times.entry(invoice.to_owned()).or_default();
    let place = match kind.as_str() {
        "invoice_progress" => &mut times.progress,
        "invoice_paid" => &mut times.paid,
        _ => return,
    };
    place.get_or_insert(at);
}
