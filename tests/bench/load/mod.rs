//! The load: callers who pay over HTTP, as browsers do.

mod closed;
mod connection;
mod open;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use stack::Service;

pub use self::closed::closed;
pub use self::connection::Connection;
pub use self::open::open;
use crate::failure::BenchError;
use crate::measure::per_second;
use crate::stock::{Due, Payer};

const PAID: u16 = 200;

/// What some callers have done.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Payments that were answered.
    pub paid: usize,
    /// From the first one's beginning to the last one's end.
    pub elapsed: Duration,
    /// How long each of them took.
    pub latencies: Vec<Duration>,
}

impl Run {
    /// Payments per second.
    pub fn rate(&self) -> f64 {
        per_second(self.paid, self.elapsed)
    }
}

/// Payments that are ready to be sent.
#[derive(Debug, Clone)]
pub struct Requests {
    /// Where to.
    pub address: SocketAddr,
    /// One request each.
    pub texts: Vec<Vec<u8>>,
}

impl Requests {
    /// The requests that pay these invoices at this api.
    pub fn prepare(api: &Service, payers: &[Payer], dues: &[Due]) -> Result<Self, BenchError> {
        let address = address(api)?;
        let text = |due: &Due| {
            let payer = payers.get(due.payer)?;
            let (invoice, session, csrf) = (due.invoice_id(), &payer.session, &payer.csrf);
            Some(
                format!(
                    "POST /v1/billing/invoices/{invoice}/pay-from-balance HTTP/1.1\r\nhost: {address}\r\n\
                     cookie: nl_session={session}; nl_csrf={csrf}\r\nx-csrf-token: {csrf}\r\ncontent-length: 0\r\n\r\n"
                )
                .into_bytes(),
            )
        };
        let texts = dues.iter().filter_map(text).collect();
        Ok(Self { address, texts })
    }
}

/// Has so many callers, each with a connection of its own, pay until the time is over or everything is paid.
pub async fn pay_closed(
    requests: Requests,
    callers: usize,
    time: Duration,
) -> Result<Run, BenchError> {
    let connections = connect(requests.address, callers).await?;
    let texts = Arc::new(requests.texts);
    closed(
        connections,
        texts.len(),
        time,
        move |mut connection, place| {
            let texts = Arc::clone(&texts);
            async move {
                if let Some(request) = texts.get(place) {
                    pay(&mut connection, request).await?;
                }
                Ok(connection)
            }
        },
    )
    .await
}

async fn connect(address: SocketAddr, count: usize) -> Result<Vec<Connection>, BenchError> {
    try_join_all((0..count).map(|_| Connection::open(address))).await
}

/// Where an api listens.
pub fn address(api: &Service) -> Result<SocketAddr, BenchError> {
    let url = api.url();
    let host = url.strip_prefix("http://").unwrap_or(url);
    host.parse()
        .map_err(|_| BenchError::Answer(format!("{url} is no address")))
}

async fn pay(connection: &mut Connection, request: &[u8]) -> Result<(), BenchError> {
    match connection.call(request).await? {
        PAID => Ok(()),
        _ => Err(BenchError::Answer(connection.answer())),
    }
}
