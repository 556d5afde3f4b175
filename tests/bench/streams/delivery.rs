//! How soon open streams hear of payments: a random hundred per second among ten thousand users, and one payment that
//! ten thousand streams of its user hear of.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::seq::IndexedRandom as _;
use sqlx::PgPool;

use super::fleet::{Fleet, Heard};
use super::scene::Scene;
use crate::failure::BenchError;
use crate::load::{Requests, open, pay_closed};
use crate::measure::number;
use crate::processes::own_time;
use crate::stock::{Due, Payer};

/// Payments per second.
pub const RATE: f64 = 100.0;
/// How long one payment may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How soon frames were read, counted from the commit of what they tell.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Of each frame.
    pub frames: Vec<Duration>,
    /// Of the last frame of each payment.
    pub last: Vec<Duration>,
    /// The api's processor time.
    pub api: Duration,
}

impl Delivery {
    /// Microseconds of the api's processor time for each frame.
    pub fn api_us(&self) -> f64 {
        self.api.as_secs_f64() * 1e6 / number(self.frames.len()).max(1.0)
    }

    fn add(
        &mut self,
        heard: &[Heard],
        commits: &HashMap<String, SystemTime>,
    ) -> Result<(), BenchError> {
        let mut last: HashMap<&str, Duration> = HashMap::new();
        for frame in heard {
            let commit = commits
                .get(&frame.invoice)
                .ok_or_else(|| BenchError::Stream(format!("{} has no commit", frame.invoice)))?;
            // The commit is noted a moment before it is done, but clocks may be set.
            let latency = frame.at.duration_since(*commit).unwrap_or_default();
            self.frames.push(latency);
            let slowest = last.entry(&frame.invoice).or_default();
            *slowest = latency.max(*slowest);
        }
        self.last.extend(last.into_values());
        Ok(())
    }
}

/// Has random users pay, each once, while all have a stream open.
pub async fn scattered(
    scene: &Scene<'_>,
    fleet: &mut Fleet,
    users: &[Payer],
    payments: usize,
) -> Result<Delivery, BenchError> {
    let places: Vec<usize> = (0..users.len()).collect();
    let places: Vec<usize> = places.sample(&mut rand::rng(), payments).copied().collect();
    let payers: Vec<Payer> = places
        .iter()
        .filter_map(|place| users.get(*place).cloned())
        .collect();
    let dues = scene.stock.invoices(&payers, payments).await?;
    let requests = Requests::prepare(scene.api, &payers, &dues)?;
    let invoices: Vec<String> = dues.iter().map(|due| due.invoice_id()).collect();
    let expected = dues
        .iter()
        .zip(&invoices)
        .filter_map(|(due, invoice)| Some((*places.get(due.payer)?, invoice.as_str())));

    let before = own_time(scene.api.pid())?;
    open(requests, RATE, 0).await?;
    let heard = fleet.hear(expected).await?;
    let mut delivery = Delivery {
        api: own_time(scene.api.pid())?.saturating_sub(before),
        ..Delivery::default()
    };
    delivery.add(&heard, &commits(scene.pool, &invoices).await?)?;
    Ok(delivery)
}

/// Has one user pay, one payment after the other, with so many streams open.
pub async fn to_all(
    scene: &Scene<'_>,
    fleet: &mut Fleet,
    user: &[Payer],
    streams: usize,
    payments: usize,
) -> Result<Delivery, BenchError> {
    let mut delivery = Delivery::default();
    for due in scene.stock.invoices(user, payments).await? {
        let invoice = due.invoice_id();
        let before = own_time(scene.api.pid())?;
        pay(scene, user, due).await?;
        let expected = (0..streams).map(|stream| (stream, invoice.as_str()));
        let heard = fleet.hear(expected).await?;
        delivery.api += own_time(scene.api.pid())?.saturating_sub(before);
        delivery.add(&heard, &commits(scene.pool, &[invoice]).await?)?;
    }
    Ok(delivery)
}

async fn pay(scene: &Scene<'_>, user: &[Payer], due: Due) -> Result<(), BenchError> {
    pay_closed(Requests::prepare(scene.api, user, &[due])?, 1, LIMIT).await?;
    Ok(())
}

/// When Postgres committed the debits of these invoices, on the clock that we read, too.
async fn commits(
    pool: &PgPool,
    invoices: &[String],
) -> Result<HashMap<String, SystemTime>, BenchError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select ref_invoice_id, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint
         from transfers where kind = 'invoice_debit' and ref_invoice_id = any ($1)",
    )
    .bind(invoices)
    .fetch_all(pool)
    .await?;
    let time = |micros| UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    Ok(rows
        .into_iter()
        .map(|(invoice, micros)| (invoice, time(micros)))
        .collect())
}
