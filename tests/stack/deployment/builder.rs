//! How a deployment is put together.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use super::{Deployment, DeploymentError, follow};
use crate::chain::{Chain, TEST_CHAIN};
use crate::client::operator::Operator;
use crate::database::{API_LOGIN, DatabaseError, DatabaseServer, WATCHER_LOGIN, WORKER_LOGIN};
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::secret::{random_deposit_address, random_name, random_token};
use crate::service::{Service, run_worker_command};
use crate::settings::{ANY_PORT, ChainSettings, Settings};

/// Where `stack test` says which Postgres the tests share (the superuser's URL).
pub const POSTGRES_URL: &str = "QUITTANCE_TEST_POSTGRES_URL";
/// Where `stack test` says which Redis the tests share.
pub const REDIS_URL: &str = "QUITTANCE_TEST_REDIS_URL";
/// Several processes with full pools, and the test's own connections.
const PRIVATE_CONNECTIONS: u16 = 300;
/// Tests of one run share a Postgres and a machine, and make a user or log in to Postgres all at once: a process waits for
/// a connection for longer than by default. Those that are about Postgres have one of their own.
const PATIENCE: (&str, &str) = ("QUITTANCE_DB_ACQUIRE_TIMEOUT_MS", "12000");
/// Invoices of a deployment without a watcher end when their time is over.
const NO_WAIT: (&str, &str) = ("QUITTANCE_EXPIRY_WAIT_MS", "0");
const SWEEP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// What a deployment is made of.
#[derive(Debug, Clone)]
pub struct Builder {
    apis: usize,
    workers: usize,
    /// One, when there is a chain, unless told.
    watchers: Option<usize>,
    unfollowed: bool,
    extra: BTreeMap<String, String>,
    private_postgres: bool,
    private_redis: bool,
    /// The URLs of servers that somebody else runs, instead of those of the test run.
    servers: Option<(String, String)>,
    chain: Whose,
}

/// Whose chain a deployment is paid on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Nobodys,
    TestRuns,
    Own,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 1,
            watchers: None,
            unfollowed: false,
            extra: BTreeMap::new(),
            private_postgres: false,
            private_redis: false,
            servers: None,
            chain: Whose::Nobodys,
        }
    }
}

impl Builder {
    /// How many api processes to start.
    #[must_use]
    pub fn apis(self, count: usize) -> Self {
        Self {
            apis: count,
            ..self
        }
    }

    /// How many worker processes to start.
    #[must_use]
    pub fn workers(self, count: usize) -> Self {
        Self {
            workers: count,
            ..self
        }
    }

    /// How many watcher processes to start; by default one when there is a chain.
    #[must_use]
    pub fn watchers(self, count: usize) -> Self {
        Self {
            watchers: Some(count),
            ..self
        }
    }

    /// Leaves the deposit accounts of a deployment without watchers unregistered: nobody follows them.
    #[must_use]
    pub fn unfollowed(self) -> Self {
        Self {
            unfollowed: true,
            ..self
        }
    }

    /// Has the deployment paid on the test run's chain, to a treasury of its own.
    #[must_use]
    pub fn chain(self) -> Self {
        Self {
            chain: Whose::TestRuns,
            ..self
        }
    }

    /// Has the deployment paid on a local chain of its own, for tests that stop, kill or freeze it.
    #[must_use]
    pub fn private_chain(self) -> Self {
        Self {
            chain: Whose::Own,
            ..self
        }
    }

    /// A setting for all its processes.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// A Postgres of its own, for tests that stop or kill it.
    #[must_use]
    pub fn private_postgres(self) -> Self {
        Self {
            private_postgres: true,
            ..self
        }
    }

    /// A Redis of its own, for tests that stop, kill or flush it.
    #[must_use]
    pub fn private_redis(self) -> Self {
        Self {
            private_redis: true,
            ..self
        }
    }

    /// A database of its own on this Postgres, beside those of other deployments, and this Redis.
    #[must_use]
    pub fn servers(self, postgres: &Postgres, redis: &Redis) -> Self {
        let urls = (postgres.url_superuser("postgres"), redis.url());
        Self {
            servers: Some(urls),
            ..self
        }
    }

    /// Starts everything and waits until it is ready.
    pub async fn start(self) -> Result<Deployment, DeploymentError> {
        let (postgres, redis, chain) =
            futures::try_join!(self.own_postgres(), self.own_redis(), self.any_chain())?;
        let (given_postgres, given_redis) = self.servers.unzip();
        let has_template = postgres.is_none() && given_postgres.is_none();
        let postgres_url = match (&postgres, given_postgres) {
            (Some(postgres), _) => postgres.url_superuser("postgres"),
            (None, Some(url)) => url,
            (None, None) => of_test_run(POSTGRES_URL)?,
        };
        let server = DatabaseServer::new(&postgres_url)?;
        let redis_url = match (&redis, given_redis) {
            (Some(redis), _) => redis.url(),
            (None, Some(url)) => url,
            (None, None) => of_test_run(REDIS_URL)?,
        };
        let database = random_name("quittance_test");
        let watchers = self.watchers.unwrap_or(usize::from(chain.is_some()));
        let mut extra = self.extra;
        if has_template {
            extra
                .entry(PATIENCE.0.to_owned())
                .or_insert(PATIENCE.1.to_owned());
        }
        if watchers == 0 {
            // Nobody reads what had landed before an invoice's end.
            extra
                .entry(NO_WAIT.0.to_owned())
                .or_insert(NO_WAIT.1.to_owned());
        }
        let mut settings = settings(&server, &database, redis_url, extra)?;
        if let Some(chain) = &chain {
            settings.deposit_address = chain.deposit_address().to_string();
            settings.chain = Some(ChainSettings::of(chain, random_deposit_address()));
        }
        if has_template {
            server.clone_template(&database).await?;
        } else {
            server.create_if_missing(&database).await?;
            run_worker_command("migrate", &settings.for_owner()).await?;
            server.create_logins().await?;
        }
        let pool = server.pool(&database).await?;
        let watchers = start_watchers(&settings, &pool, watchers, self.unfollowed).await?;
        let [apis, workers] = start_services(&settings, [self.apis, self.workers]).await?;
        let first_api = apis.first().map(Service::url).unwrap_or_default();
        let operator = Operator::new(first_api, &settings.operator_token)?;
        if !workers.is_empty() {
            until_swept(&pool).await?;
        }
        Ok(Deployment {
            apis,
            workers,
            watchers,
            pool,
            server,
            database,
            settings,
            operator,
            redis,
            postgres,
            chain,
        })
    }

    async fn own_postgres(&self) -> Result<Option<Postgres>, DeploymentError> {
        Ok(if self.private_postgres {
            Some(Postgres::temporary(PRIVATE_CONNECTIONS).await?)
        } else {
            None
        })
    }

    async fn own_redis(&self) -> Result<Option<Redis>, DeploymentError> {
        Ok(if self.private_redis {
            Some(Redis::temporary().await?)
        } else {
            None
        })
    }

    async fn any_chain(&self) -> Result<Option<Chain>, DeploymentError> {
        Ok(match self.chain {
            Whose::Nobodys => None,
            Whose::TestRuns => Some(Chain::described(&of_test_run(TEST_CHAIN)?).await?),
            Whose::Own => Some(Chain::local().await?),
        })
    }
}

fn of_test_run(variable: &'static str) -> Result<String, DeploymentError> {
    env::var(variable).map_err(|_| DeploymentError::NoTestRun(variable))
}

fn settings(
    server: &DatabaseServer,
    database: &str,
    redis_url: String,
    extra: BTreeMap<String, String>,
) -> Result<Settings, DeploymentError> {
    Ok(Settings {
        owner_url: server.superuser_url(database),
        api_url: server.login_url(API_LOGIN, database)?,
        worker_url: server.login_url(WORKER_LOGIN, database)?,
        watcher_url: server.login_url(WATCHER_LOGIN, database)?,
        redis_url,
        redis_prefix: random_name("test"),
        operator_token: random_token(),
        deposit_address: random_deposit_address(),
        chain: None,
        extra,
    })
}

/// Waits for the round of expiry that a worker begins with: it must not come in the middle of a test that is to see none.
async fn until_swept(pool: &PgPool) -> Result<(), DeploymentError> {
    let swept = "select at > '-infinity' from sweep_cursors where name = 'expiry'";
    let until = async {
        while !sqlx::query_scalar::<_, bool>(swept).fetch_one(pool).await? {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    };
    let said = |source| DatabaseError::Sql {
        doing: "look at the sweeps".to_owned(),
        source,
    };
    Ok(timeout(SWEEP_LIMIT, until)
        .await
        .map_err(|_| DeploymentError::Unswept(SWEEP_LIMIT))?
        .map_err(said)?)
}

/// Starts so many watchers, before apis: those offer what watchers follow. Without any the accounts are only said to be
/// followed, unless nobody is to follow them.
async fn start_watchers(
    settings: &Settings,
    pool: &PgPool,
    count: usize,
    unfollowed: bool,
) -> Result<Vec<Service>, DeploymentError> {
    let watchers = (0..count).map(|_| Service::start_watcher(settings, None));
    let watchers = futures::future::try_join_all(watchers).await?;
    until_ready(&watchers).await?;
    let registered = match count {
        0 if unfollowed => Ok(()),
        0 => follow::register(pool, settings).await,
        _ => follow::until_registered(pool, settings).await,
    };
    registered.map_err(|source| DatabaseError::Sql {
        doing: "register the deposit accounts".to_owned(),
        source,
    })?;
    Ok(watchers)
}

/// Starts so many apis and workers, all at once, since each mostly waits.
async fn start_services(
    settings: &Settings,
    [apis, workers]: [usize; 2],
) -> Result<[Vec<Service>; 2], DeploymentError> {
    let apis = (0..apis).map(|_| Service::start_api(settings, ANY_PORT, None));
    let workers = (0..workers).map(|_| Service::start_worker(settings, None));
    let (apis, workers) = futures::try_join!(
        futures::future::try_join_all(apis),
        futures::future::try_join_all(workers)
    )?;
    until_ready(&apis).await?;
    until_ready(&workers).await?;
    Ok([apis, workers])
}

async fn until_ready(services: &[Service]) -> Result<(), DeploymentError> {
    for service in services {
        service.wait_until_ready().await?;
    }
    Ok(())
}
