//! The api that is measured, and how it is when nothing happens.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use stack::{Deployment, Service};

use crate::failure::BenchError;
use crate::load::{self, Requests, pay_closed};
use crate::measure::number;
use crate::processes::{memory_kib, own_time};
use crate::stock::{Payer, Stock};

const FIRST_INVOICE: u64 = 1;
const WARM_UP: usize = 200;
const WARM_UP_CALLERS: usize = 8;
const WARM_UP_TIME: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_secs(20);
const CLOSE_POLL: Duration = Duration::from_millis(50);

/// What is measured, and with what.
pub struct Scene<'a> {
    /// The one api.
    pub api: &'a Service,
    /// Where it listens.
    pub address: SocketAddr,
    /// The superuser's connections.
    pub pool: &'a PgPool,
    /// Users and invoices.
    pub stock: Stock,
}

/// An api whose streams are quiet.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// Memory (RSS) for each stream, KiB.
    pub memory_kib: f64,
    /// Processor time for each second, milliseconds.
    pub api_ms: f64,
}

impl<'a> Scene<'a> {
    /// Of a deployment with one api.
    pub fn of(deployment: &'a Deployment) -> Result<Self, BenchError> {
        let api = deployment.api(0);
        Ok(Self {
            api,
            address: load::address(api)?,
            pool: deployment.pool(),
            stock: Stock::new(deployment.pool().clone(), FIRST_INVOICE),
        })
    }

    /// Users with money. Their first events are not left to the sweep, which would tell them to open streams.
    pub async fn users(&self, count: usize) -> Result<Vec<Payer>, BenchError> {
        let users = self.stock.payers(count).await?;
        sqlx::query(
            "select mark_published(array_agg(id)) from outbox_batches where published_at is null",
        )
        .execute(self.pool)
        .await?;
        self.stock.settle_down().await?;
        Ok(users)
    }

    /// Pays a little, so that everything has been used once.
    pub async fn warm_up(&self, users: &[Payer]) -> Result<(), BenchError> {
        let dues = self.stock.invoices(users, WARM_UP).await?;
        let requests = Requests::prepare(self.api, users, &dues)?;
        pay_closed(requests, WARM_UP_CALLERS, WARM_UP_TIME).await?;
        Ok(())
    }

    /// The api's memory, KiB.
    pub fn memory_kib(&self) -> Result<u64, BenchError> {
        memory_kib(self.api.pid())
    }

    /// What so many streams cost that have nothing to tell.
    pub async fn idle(
        &self,
        streams: usize,
        before_kib: u64,
        time: Duration,
    ) -> Result<Idle, BenchError> {
        let (begin, used) = (Instant::now(), own_time(self.api.pid())?);
        tokio::time::sleep(time).await;
        let used = own_time(self.api.pid())?.saturating_sub(used);
        let grown_kib = self.memory_kib()?.saturating_sub(before_kib);
        Ok(Idle {
            memory_kib: number(usize::try_from(grown_kib).unwrap_or(usize::MAX)) / number(streams),
            api_ms: used.as_secs_f64() * 1e3 / begin.elapsed().as_secs_f64(),
        })
    }

    /// Waits until the api has noticed that all streams were closed.
    pub async fn until_closed(&self) -> Result<(), BenchError> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{}/metrics", self.api.url());
        let begin = Instant::now();
        while begin.elapsed() < CLOSE_LIMIT {
            let metrics = client.get(&url).send().await?.text().await?;
            if metrics
                .lines()
                .any(|line| line == "quittance_streams_open 0")
            {
                return Ok(());
            }
            tokio::time::sleep(CLOSE_POLL).await;
        }
        Err(BenchError::Stream(
            "it was closed, and keeps its place".into(),
        ))
    }
}
