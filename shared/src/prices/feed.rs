//! Reads the price feed, one bounded call at a time. Neither its URL, which may hold a key, nor its words are logged.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::config::BillingConfig;
use crate::telemetry::{Shutdown, supervised};
use reqwest_tls::redirect::Policy;
use reqwest_tls::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::MissedTickBehavior;

use super::parse::{ParseError, price_micro};
use super::{Board, Quote};

/// The longest answer. Price feeds say less than a hundredth of it.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a reading gave no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum FeedError {
    #[error("QUITTANCE_SOL_PRICE_FEED_URL is no URL")]
    Url,
    #[error("no answer in time")]
    TimedOut,
    #[error("the connection failed")]
    Connection,
    #[error("the answer is HTTP {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("a price of {0} micro-USD is out of the configured bounds")]
    OutOfBounds(i64),
}

impl From<reqwest_tls::Error> for FeedError {
    fn from(error: reqwest_tls::Error) -> Self {
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_builder() {
            Self::Url
        } else {
            Self::Connection
        }
    }
}

struct Feed {
    client: Client,
    url: SecretString,
    pointer: String,
    bounds: RangeInclusive<i64>,
    board: Board,
    /// What the last reading failed with: said once, not with every reading.
    failing: Option<FeedError>,
}

/// Reads the feed at its interval until the stop.
pub(super) fn spawn(
    config: &BillingConfig,
    board: Board,
    shutdown: Shutdown,
) -> Result<(), reqwest_tls::Error> {
    let client = Client::builder()
        // An answer from elsewhere is not the one that was configured.
        .redirect(Policy::none())
        .timeout(Duration::from_millis(config.sol_price_feed_timeout_ms))
        .build()?;
    let feed = Feed {
        client,
        url: config.sol_price_feed_url.clone(),
        pointer: config.sol_price_feed_pointer.clone(),
        bounds: config.sol_price_min_micro..=config.sol_price_max_micro,
        board,
        failing: None,
    };
    supervised("price feed", async move {
        tokio::select! {
            () = feed.run() => {}
            () = shutdown.wait() => {}
        }
    });
    Ok(())
}

impl Feed {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.board.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked_at = Instant::now();
            match self.read().await {
                Ok(micro) => {
                    self.board.post(Quote { micro, asked_at });
                    if self.failing.take().is_some() {
                        tracing::info!(micro, "the price feed is back");
                    }
                }
                Err(error) => {
                    metrics::counter!("quittance_sol_price_failures_total").increment(1);
                    if self.failing.replace(error) != Some(error) {
                        tracing::warn!(%error, "the price feed gave no price");
                    }
                }
            }
            if let Some(age) = self.board.age() {
                metrics::gauge!("quittance_sol_price_age_seconds").set(age);
            }
        }
    }

    /// One reading. A price out of bounds is a broken feed: the one before it stays until it is too old.
    async fn read(&self) -> Result<i64, FeedError> {
        let response = self.client.get(self.url.expose_secret()).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FeedError::Status(response.status()));
        }
        let body = text(response).await?;
        let micro = price_micro(&body, &self.pointer)?;
        if self.bounds.contains(&micro) {
            Ok(micro)
        } else {
            Err(FeedError::OutOfBounds(micro))
        }
    }
}

/// The whole answer, as long as it is a sensible one.
async fn text(mut response: Response) -> Result<String, FeedError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(FeedError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| FeedError::Parse(ParseError::Json))
}
