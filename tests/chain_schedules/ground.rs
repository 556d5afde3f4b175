//! One database for all schedules of a process, emptied before each, and what its watchers are made with.

use std::fmt::Write;
use std::sync::Arc;

use fault_kit::transaction::TOKEN_PROGRAM;
use fault_kit::{FakeAccount, FakeChain};
use shared::config::{Config, Process};
use shared::db;
use shared::events::Publisher;
use shared::invoices::Rail;
use shared::queue::RedisLink;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use sqlx::{AssertSqlSafe, PgPool, raw_sql};
use stack::Deployment;
use stack::settings::ANY_PORT;

/// What mints and deposit accounts hold before anything happens.
const OPENING_LAMPORTS: u64 = 1_000_000_000_000;
const OPENING_UNITS: u64 = 1_000_000_000_000;
const RENT: u64 = 2_039_280;
const MINT_BYTES: usize = 82;
const MINT_DECIMALS_AT: usize = 44;
const MINT_INITIALIZED_AT: usize = 45;
/// When a node that is of no use is left out.
const NEVER_MS: &str = "86400000";
const AT_ONCE_MS: &str = "1";
/// Of both tokens.
pub const DECIMALS: u8 = 6;

/// Everything that a schedule writes.
const WRITTEN: [&str; 21] = [
    "users",
    "balances",
    "transfers",
    "adjustments",
    "invoices",
    "subscriptions",
    "outbox_batches",
    "sweep_cursors",
    "deposit_accounts",
    "watched_keys",
    "watchers",
    "chain_signatures",
    "reference_sweeps",
    "chain_payments",
    "chain_credits",
    "unattributed_deposits",
    "relay_transactions",
    "submitted_signatures",
    "chain_outflows",
    "deposit_dust",
    "reconciliations",
];
const CURSORS: &str = "insert into sweep_cursors (name, at) values ('expiry', '-infinity'), ('expiry_round', '-infinity')";

/// An account that money arrives on.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Its rail.
    pub rail: Rail,
    /// Where the balance is.
    pub key: Pubkey,
    /// None for the native coin.
    pub mint: Option<Pubkey>,
}

/// What schedules stand on.
pub struct Ground {
    deployment: Deployment,
    /// The settings of watchers.
    pub config: Arc<Config>,
    /// The same, of watchers that wait for no node.
    pub hasty: Arc<Config>,
    /// Connections with a watcher's rights.
    pub pool: PgPool,
    /// Connections with a worker's rights.
    pub worker: PgPool,
    /// Publishes what watchers settle.
    pub publisher: Publisher,
    /// The wallet that invoices ask to pay to.
    pub treasury: Keypair,
    /// Its accounts.
    pub accounts: [Account; 3],
    /// The key that all payments name.
    pub beacon: Pubkey,
}

impl Ground {
    /// A database of its own.
    pub async fn open() -> Self {
        let deployment = Deployment::builder().apis(0).workers(0).start().await;
        let deployment = deployment.unwrap();
        // The same each time, so that a schedule is the same when it is replayed.
        let [treasury, beacon, dollar, tether] =
            [1, 2, 3, 4].map(|number| Keypair::new_from_array([number; 32]));
        let mints = [dollar.pubkey(), tether.pubkey()];
        let made = |absent_ms| {
            settings(
                &deployment,
                treasury.pubkey(),
                beacon.pubkey(),
                mints,
                absent_ms,
            )
        };
        let (config, hasty) = (made(NEVER_MS), made(AT_ONCE_MS));
        let pool = db::pool(&config.database, "schedules").unwrap();
        let worker = worker_settings(&deployment);
        let worker = db::pool(&worker.database, "schedules").unwrap();
        let redis = RedisLink::connect(&config.redis).await.unwrap();
        let prefix = config.redis.redis_prefix.clone();
        let (publisher, _) = Publisher::spawn(redis, prefix, pool.clone());
        let account = |rail, mint: Option<Pubkey>| Account {
            rail,
            key: mint.map_or(treasury.pubkey(), |mint| {
                token_account(&treasury.pubkey(), &mint)
            }),
            mint,
        };
        Self {
            accounts: [
                account(Rail::SolNative, None),
                account(Rail::SolSplUsdc, Some(mints[0])),
                account(Rail::SolSplUsdt, Some(mints[1])),
            ],
            beacon: beacon.pubkey(),
            config: Arc::new(config),
            hasty: Arc::new(hasty),
            deployment,
            pool,
            worker,
            publisher,
            treasury,
        }
    }

    /// Sessions of the superuser.
    pub fn superuser(&self) -> &PgPool {
        self.deployment.pool()
    }

    /// Nothing has ever happened.
    pub async fn clear(&self) {
        // What is immutable otherwise, too. Not truncated: every plan that any session keeps would be made anew.
        let mut clear = "begin; set local session_replication_role = replica;".to_owned();
        for table in WRITTEN {
            write!(clear, "delete from {table};").unwrap();
        }
        write!(clear, "{CURSORS}; commit").unwrap();
        raw_sql(AssertSqlSafe(clear))
            .execute(self.superuser())
            .await
            .unwrap();
    }

    /// A chain with the mints, and accounts that hold something from before.
    pub fn chain(&self) -> FakeChain {
        let chain = FakeChain::seeded([6; 24]);
        let owner = self.treasury.pubkey();
        for account in self.accounts {
            let Some(mint) = account.mint else {
                chain.set_account(account.key, FakeAccount::wallet(OPENING_LAMPORTS));
                continue;
            };
            let held = FakeAccount::token(TOKEN_PROGRAM, mint, owner, OPENING_UNITS, RENT);
            chain.set_account(account.key, held);
            chain.set_account(mint, mint_account());
        }
        chain
    }

    /// Removes the database.
    pub async fn close(self) {
        self.pool.close().await;
        self.worker.close().await;
        self.deployment.finish().await.unwrap();
    }
}

fn worker_settings(deployment: &Deployment) -> Config {
    let variables = deployment.settings().for_worker(ANY_PORT);
    Config::from_variables(Process::Worker, variables).unwrap()
}

/// The associated token account of a wallet.
pub fn token_account(wallet: &Pubkey, mint: &Pubkey) -> Pubkey {
    get_associated_token_address_with_program_id(wallet, mint, &TOKEN_PROGRAM)
}

/// No pauses: the test lets time pass.
fn settings(
    deployment: &Deployment,
    treasury: Pubkey,
    beacon: Pubkey,
    [dollar, tether]: [Pubkey; 2],
    absent_ms: &str,
) -> Config {
    let mut variables = deployment.settings().for_watcher(ANY_PORT);
    let own = [
        ("SOLANA_RPC_URL", "http://127.0.0.1:1".to_owned()),
        ("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", treasury.to_string()),
        ("QUITTANCE_SOLANA_BEACON_KEY", beacon.to_string()),
        ("QUITTANCE_USDC_MINT", dollar.to_string()),
        ("QUITTANCE_USDT_MINT", tether.to_string()),
        ("QUITTANCE_SOLANA_NODE_COOLDOWN_MS", "1".to_owned()),
        ("QUITTANCE_WATCH_FINALITY_INTERVAL_MS", "1".to_owned()),
        ("QUITTANCE_SOLANA_NODE_ABSENT_MS", absent_ms.to_owned()),
        ("QUITTANCE_WATCH_GONE_ROUNDS", "2".to_owned()),
        ("QUITTANCE_WATCH_GONE_AFTER_MS", "1000".to_owned()),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Config::from_variables(Process::Watcher, variables).unwrap()
}

fn mint_account() -> FakeAccount {
    let mut data = vec![0; MINT_BYTES];
    data[MINT_DECIMALS_AT] = DECIMALS;
    data[MINT_INITIALIZED_AT] = 1;
    FakeAccount {
        lamports: 1_461_600,
        owner: TOKEN_PROGRAM,
        data,
        executable: false,
    }
}
