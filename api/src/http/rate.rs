//! How many requests one user may make.

use std::num::NonZeroU32;

use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shared::config::{ApiConfig, ChainConfig};
use shared::ids::UserId;

use super::flat::FlatError;

/// Limits by user, in this process. A deployment of n api processes allows n times as much.
pub struct RateLimit {
    limiter: Option<DefaultKeyedRateLimiter<UserId>>,
}

impl RateLimit {
    /// Requests of all kinds; no limit when the rate is 0.
    pub fn requests(config: &ApiConfig) -> Self {
        let quota = NonZeroU32::new(config.rate_per_user_per_second)
            .zip(NonZeroU32::new(config.rate_per_user_burst))
            .map(|(rate, burst)| Quota::per_second(rate).allow_burst(burst));
        Self::of(quota)
    }

    /// Submissions, each of which makes others ask Solana nodes; no limit when it is 0.
    pub fn submissions(config: &ChainConfig) -> Self {
        Self::of(NonZeroU32::new(config.submissions_per_user_per_minute).map(Quota::per_minute))
    }

    /// Transactions to build, each of which may make the api ask Solana nodes; no limit when it is 0.
    pub fn builds(config: &ChainConfig) -> Self {
        Self::of(NonZeroU32::new(config.builds_per_user_per_minute).map(Quota::per_minute))
    }

    fn of(quota: Option<Quota>) -> Self {
        Self {
            limiter: quota.map(RateLimiter::keyed),
        }
    }

    /// Counts one request of this user, or refuses it: 429 `rate_limited`, with the time until there is room.
    pub fn check(&self, user: UserId) -> Result<(), FlatError> {
        let Some(Err(full)) = self
            .limiter
            .as_ref()
            .map(|limiter| limiter.check_key(&user))
        else {
            return Ok(());
        };
        let wait = full.wait_time_from(DefaultClock::default().now());
        let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        Err(
            FlatError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
                .retry_after(seconds.max(1)),
        )
    }

    /// Forgets users that have been quiet.
    pub fn forget_quiet(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
        }
    }
}
