//! What every endpoint can reach.

use std::sync::Arc;

use shared::chain::{Nodes, SlotClock};
use shared::config::Config;
use shared::events::Publisher;
use shared::invoices::{Rail, RailRegistry};
use shared::prices::Prices;
use shared::queue::{Producer, Queue, RedisLink};
use shared::telemetry::Shutdown;
use sqlx::PgPool;

use crate::blockhashes::Blockhashes;
use crate::commands::pay_from_balance::PayFromBalance;
use crate::commands::relay::Relay;
use crate::deposits::Deposits;
use crate::followed::Followed;
use crate::http::rate::RateLimit;
use crate::session::Sessions;
use crate::streams::Streams;
use crate::token_accounts::TokenAccounts;
use crate::turns::Turns;
use crate::wallet::DepositWallet;

/// The application: cheap to clone, the same for every request.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

/// Its parts.
pub struct AppParts {
    pub config: Config,
    pub pool: PgPool,
    pub redis: RedisLink,
    pub publisher: Publisher,
    pub producers: Producers,
    pub rails: RailRegistry,
    /// The rails that watchers follow.
    pub followed: Followed,
    /// Solana nodes; none without `SOLANA_RPC_URL`.
    pub nodes: Option<Nodes>,
    /// The deposit wallet as the nodes see it; none without nodes.
    pub wallet: Option<DepositWallet>,
    /// What transactions to sign are built from; none without nodes.
    pub building: Option<Building>,
    /// The price of a SOL.
    pub prices: Prices,
    pub sessions: Sessions,
    pub rate: RateLimit,
    pub submission_rate: RateLimit,
    pub build_rate: RateLimit,
    pub streams: Streams,
    pub pay: PayFromBalance,
    pub relay: Relay,
    /// The accounts that in-app invoices are paid to.
    pub deposits: Deposits,
    /// How long blocks take.
    pub clock: SlotClock,
    /// Invoice creations, one at a time per user.
    pub creations: Turns,
    /// Submissions being stored, one at a time per user.
    pub submissions: Turns,
    /// Audits, one at a time.
    pub audits: tokio::sync::Mutex<()>,
    pub shutdown: Shutdown,
}

/// What the chain must be asked to build a transaction.
pub struct Building {
    pub blockhashes: Blockhashes,
    pub token_accounts: TokenAccounts,
}

/// A producer for each queue.
pub struct Producers {
    pub pay: Producer,
    pub relay: Producer,
}

impl Producers {
    /// The one for this queue.
    pub fn of(&self, queue: Queue) -> &Producer {
        match queue {
            Queue::Pay => &self.pay,
            Queue::Relay => &self.relay,
        }
    }
}

impl App {
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Whether invoices can be paid on this rail now.
    pub fn offers(&self, rail: Rail) -> bool {
        self.rails.is_enabled(rail) && self.followed.has(rail)
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
