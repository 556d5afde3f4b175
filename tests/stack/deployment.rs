//! A whole Quittance for one test: a database of its own, and as many processes as the test wants.

mod builder;
mod closing;
mod follow;

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use sqlx::PgPool;

pub use self::builder::{Builder, POSTGRES_URL, REDIS_URL};
pub use crate::chain::TEST_CHAIN;
use crate::chain::{Chain, ChainError};
use crate::client::ClientError;
use crate::client::console::Console;
use crate::client::operator::Operator;
use crate::database::{DatabaseError, DatabaseServer};
use crate::postgres::{Postgres, PostgresError};
use crate::redis::{Redis, RedisError};
use crate::secret::random_token;
use crate::service::{Service, ServiceError};
use crate::settings::{ANY_PORT, Settings};

/// Why a deployment could not be started, used or finished.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The test was started without the servers of a test run.
    #[error(
        "{0} is not set: tests share one private Postgres, Redis and chain; run `make test`, or for some \
         tests only `target/debug/stack test -- cargo test --test NAME`"
    )]
    NoTestRun(&'static str),
    /// The deployment has no process of this number.
    #[error("the deployment has no {kind} number {index} (it has {count}, counted from 0)")]
    NoSuchService {
        /// `api`, `worker` or `watcher`.
        kind: &'static str,
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The invariants do not hold.
    #[error("the audit failed:{0}")]
    Audit(String),
    /// No worker has swept.
    #[error("no worker looked for overdue invoices within {} s", .0.as_secs())]
    Unswept(Duration),
    /// A process did not end well.
    #[error("these processes did not stop cleanly:{0}")]
    Unclean(String),
    /// Several things went wrong at the end.
    #[error("{0}")]
    Several(String),
    /// Redis does not answer.
    #[error("cannot connect to the deployment's Redis: {0}")]
    RedisConnection(#[from] ::redis::RedisError),
    /// Postgres.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// Redis.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A process.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A call.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// A running Quittance. `finish` it at the end of a test; dropping it kills its processes and
/// leaves its database to the end of the test run, for a look at what went wrong.
pub struct Deployment {
    apis: Vec<Service>,
    workers: Vec<Service>,
    watchers: Vec<Service>,
    pool: PgPool,
    server: DatabaseServer,
    database: String,
    settings: Settings,
    operator: Operator,
    /// The private servers, if it has its own. Declared last: they end after the processes.
    redis: Option<Redis>,
    postgres: Option<Postgres>,
    chain: Option<Chain>,
}

impl Deployment {
    /// What a deployment is made of; by default one api and one worker on the servers of the test
    /// run.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The api process of this number, counted from 0 in the order of their start.
    ///
    /// # Panics
    /// When there is none: a mistake of the test.
    #[must_use]
    pub fn api(&self, index: usize) -> &Service {
        numbered("api", &self.apis, index)
    }

    /// The worker process of this number, counted from 0 in the order of their start.
    ///
    /// # Panics
    /// When there is none: a mistake of the test.
    #[must_use]
    pub fn worker(&self, index: usize) -> &Service {
        numbered("worker", &self.workers, index)
    }

    /// The watcher process of this number, counted from 0 in the order of their start.
    ///
    /// # Panics
    /// When there is none: a mistake of the test.
    #[must_use]
    pub fn watcher(&self, index: usize) -> &Service {
        numbered("watcher", &self.watchers, index)
    }

    /// All api processes, also those that were killed.
    #[must_use]
    pub fn apis(&self) -> &[Service] {
        &self.apis
    }

    /// All worker processes, also those that were killed.
    #[must_use]
    pub fn workers(&self) -> &[Service] {
        &self.workers
    }

    /// All watcher processes, also those that were killed.
    #[must_use]
    pub fn watchers(&self) -> &[Service] {
        &self.watchers
    }

    /// Starts one more api process and waits until it listens; returns its number.
    pub async fn start_api(&mut self) -> Result<usize, DeploymentError> {
        self.apis
            .push(Service::start_api(&self.settings, ANY_PORT, None).await?);
        Ok(self.apis.len() - 1)
    }

    /// Starts one more worker process and waits until it listens; returns its number.
    pub async fn start_worker(&mut self) -> Result<usize, DeploymentError> {
        self.workers
            .push(Service::start_worker(&self.settings, None).await?);
        Ok(self.workers.len() - 1)
    }

    /// Starts one more watcher process and waits until it listens; returns its number.
    pub async fn start_watcher(&mut self) -> Result<usize, DeploymentError> {
        self.watchers
            .push(Service::start_watcher(&self.settings, None).await?);
        Ok(self.watchers.len() - 1)
    }

    /// Kills a watcher at once (SIGKILL). It keeps its number.
    ///
    /// # Panics
    /// When there is none of this number: a mistake of the test.
    pub async fn kill_watcher(&self, index: usize) {
        self.watcher(index).kill().await;
    }

    /// Waits until every worker that runs has written a line that contains the text.
    pub async fn until_workers_say(
        &self,
        text: &str,
        limit: Duration,
    ) -> Result<(), DeploymentError> {
        for worker in &self.workers {
            if worker.process().exited().is_none() {
                worker.wait_for_log(text, limit).await?;
            }
        }
        Ok(())
    }

    /// Kills a worker at once (SIGKILL). It keeps its number.
    ///
    /// # Panics
    /// When there is none of this number: a mistake of the test.
    pub async fn kill_worker(&self, index: usize) {
        self.worker(index).kill().await;
    }

    /// Kills an api process at once (SIGKILL). It keeps its number.
    ///
    /// # Panics
    /// When there is none of this number: a mistake of the test.
    pub async fn kill_api(&self, index: usize) {
        self.api(index).kill().await;
    }

    /// The superuser's connections to the deployment's database, to look and to tamper.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A new connection to the deployment's Redis. Its keys begin with `settings().redis_prefix`.
    pub async fn redis(&self) -> Result<MultiplexedConnection, DeploymentError> {
        let client = ::redis::Client::open(self.settings.redis_url.as_str())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    /// The name of the deployment's database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// What the processes were started with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The private Postgres, if the deployment has its own.
    #[must_use]
    pub fn private_postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The private Redis, if the deployment has its own.
    #[must_use]
    pub fn private_redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// The chain that the deployment is paid on, with a treasury of the deployment's own.
    ///
    /// # Panics
    /// When the deployment was built without one: a mistake of the test.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "only tests call this, and it is a mistake of the test"
    )]
    pub fn chain(&self) -> &Chain {
        let Some(chain) = &self.chain else {
            panic!("the deployment has no chain; build it with .chain() or .private_chain()");
        };
        chain
    }

    /// An operator, calling the first api process.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// A new user without money, signed in at the first api process.
    pub async fn user(&self) -> Result<Console, DeploymentError> {
        let user = self.operator.create_user().await?;
        let tokens = self.operator.create_session(user).await?;
        Ok(Console::new(self.api(0).url(), user, tokens)?)
    }

    /// A new user with this balance, signed in at the first api process.
    pub async fn user_with_balance(&self, micro: i64) -> Result<Console, DeploymentError> {
        let console = self.user().await?;
        if micro != 0 {
            let key = random_token();
            self.operator
                .adjust(console.user_id(), micro, "initial balance of a test", &key)
                .await?;
        }
        Ok(console)
    }
}

#[expect(
    clippy::panic,
    reason = "only tests call this, and a wrong number is a mistake of the test"
)]
fn numbered<'a>(kind: &'static str, services: &'a [Service], index: usize) -> &'a Service {
    let missing = DeploymentError::NoSuchService {
        kind,
        index,
        count: services.len(),
    };
    services.get(index).unwrap_or_else(|| panic!("{missing}"))
}
