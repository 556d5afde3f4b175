//! What every endpoint can reach.

use std::sync::Arc;

use shared::config::Config;
use shared::events::Publisher;
use shared::invoices::RailRegistry;
use shared::queue::{Producer, RedisLink};
use shared::telemetry::Shutdown;
use sqlx::PgPool;

use crate::commands::pay_from_balance::PayFromBalance;
use crate::http::rate::RateLimit;
use crate::session::Sessions;
use crate::streams::Streams;
use crate::turns::Turns;

/// The application: cheap to clone, the same for every request.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

/// Its parts.
pub struct AppParts {
    pub config: Config,
    pub pool: PgPool,
    pub redis: RedisLink,
    pub publisher: Publisher,
    pub producer: Producer,
    pub rails: RailRegistry,
    pub sessions: Sessions,
    pub rate: RateLimit,
    pub streams: Streams,
    pub pay: PayFromBalance,
    /// Invoice creations, one at a time per user.
    pub creations: Turns,
    /// Audits, one at a time.
    pub audits: tokio::sync::Mutex<()>,
    pub shutdown: Shutdown,
}

impl App {
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
