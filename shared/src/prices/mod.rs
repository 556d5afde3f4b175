//! The price of a SOL, which new invoices lock and money that pays none is worth: configured, or read from a feed in the
//! background.

mod feed;
mod parse;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;

use crate::config::BillingConfig;
use crate::invoices::Rail;
use crate::telemetry::Shutdown;

/// The feed cannot be read at all: its HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the price feed cannot be read")]
pub struct FeedClientError(#[from] reqwest_tls::Error);

/// There is no price to be trusted right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the price of a SOL is not known")]
pub struct PriceUnavailable {
    /// When to ask again, seconds.
    pub retry_after_seconds: u16,
}

/// Where prices come from. Cheap to clone.
#[derive(Clone)]
pub struct Prices(Source);

#[derive(Clone)]
enum Source {
    Fixed(i64),
    Feed(Board),
}

/// What the feed's reader found last, for those who need it.
#[derive(Clone)]
struct Board {
    last: Arc<Mutex<Option<Quote>>>,
    age_max: Duration,
    interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quote {
    micro: i64,
    /// When it was asked for: it is at least as young as that.
    asked_at: Instant,
}

impl Prices {
    /// The configured source. A feed, which goes before a configured price, is read from here on until the stop.
    pub fn spawn(config: &BillingConfig, shutdown: &Shutdown) -> Result<Self, FeedClientError> {
        if config.sol_price_feed_url.expose_secret().is_empty() {
            return Ok(Self(Source::Fixed(config.sol_price_micro)));
        }
        let board = Board {
            last: Arc::default(),
            age_max: Duration::from_millis(config.sol_price_age_max_ms),
            interval: Duration::from_millis(config.sol_price_feed_interval_ms),
        };
        feed::spawn(config, board.clone(), shutdown.clone())?;
        Ok(Self(Source::Feed(board)))
    }

    /// The price of one SOL as it is now, micro-USD; none while it is not known.
    #[must_use]
    pub fn sol_micro(&self) -> Option<i64> {
        match &self.0 {
            Source::Fixed(micro) => Some(*micro).filter(|micro| *micro > 0),
            Source::Feed(board) => board.price().ok(),
        }
    }

    /// The price of one whole token to lock into a new invoice, micro-USD; none for dollar tokens.
    pub fn fx_micro_per_token(&self, rail: Rail) -> Result<Option<i64>, PriceUnavailable> {
        if !rail.needs_fx() {
            return Ok(None);
        }
        match &self.0 {
            Source::Fixed(micro) => Ok(Some(*micro)),
            Source::Feed(board) => board.price().map(Some),
        }
    }
}

impl Board {
    fn post(&self, quote: Quote) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(quote);
    }

    fn age(&self) -> Option<Duration> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|quote| quote.asked_at.elapsed())
    }

    fn price(&self) -> Result<i64, PriceUnavailable> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|quote| quote.asked_at.elapsed() <= self.age_max)
            .map(|quote| quote.micro)
            .ok_or_else(|| PriceUnavailable {
                // By then the feed has been read once more.
                retry_after_seconds: u16::try_from(self.interval.as_secs())
                    .unwrap_or(u16::MAX)
                    .max(1),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_young_price_is_used() {
        let board = Board {
            last: Arc::default(),
            age_max: Duration::from_mins(1),
            interval: Duration::from_secs(15),
        };
        let prices = Prices(Source::Feed(board.clone()));
        let unavailable = Err(PriceUnavailable {
            retry_after_seconds: 15,
        });
        let asked = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        let locked = |quote_age| {
            let micro = 150_000_000;
            let asked_at = asked(quote_age).unwrap();
            board.post(Quote { micro, asked_at });
            prices.fx_micro_per_token(Rail::SolNative)
        };
        assert_eq!(prices.fx_micro_per_token(Rail::SolNative), unavailable);
        assert_eq!(locked(0), Ok(Some(150_000_000)));
        assert_eq!(locked(59), Ok(Some(150_000_000)));
        assert_eq!(locked(61), unavailable);
        assert_eq!(prices.fx_micro_per_token(Rail::SolSplUsdc), Ok(None));
    }
}
