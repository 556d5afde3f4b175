//! How a deployment is put together.

use std::collections::BTreeMap;
use std::env;

use super::{Deployment, DeploymentError};
use crate::client::operator::Operator;
use crate::database::{API_LOGIN, DatabaseServer, WORKER_LOGIN};
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::secret::{random_deposit_address, random_name, random_token};
use crate::service::{Service, run_worker_command};
use crate::settings::{ANY_PORT, Settings};

/// Where `stack test` says which Postgres the tests share (the superuser's URL).
pub const POSTGRES_URL: &str = "QUITTANCE_TEST_POSTGRES_URL";
/// Where `stack test` says which Redis the tests share.
pub const REDIS_URL: &str = "QUITTANCE_TEST_REDIS_URL";
/// Several processes with full pools, and the test's own connections.
const PRIVATE_CONNECTIONS: u16 = 300;

/// What a deployment is made of.
#[derive(Debug, Clone)]
pub struct Builder {
    apis: usize,
    workers: usize,
    extra: BTreeMap<String, String>,
    private_postgres: bool,
    private_redis: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 1,
            extra: BTreeMap::new(),
            private_postgres: false,
            private_redis: false,
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

    /// Starts everything and waits until it is ready.
    pub async fn start(self) -> Result<Deployment, DeploymentError> {
        let postgres = if self.private_postgres {
            Some(Postgres::temporary(PRIVATE_CONNECTIONS).await?)
        } else {
            None
        };
        let redis = if self.private_redis {
            Some(Redis::temporary().await?)
        } else {
            None
        };
        let server = match &postgres {
            Some(postgres) => DatabaseServer::new(&postgres.url_superuser("postgres"))?,
            None => DatabaseServer::new(&of_test_run(POSTGRES_URL)?)?,
        };
        let redis_url = match &redis {
            Some(redis) => redis.url(),
            None => of_test_run(REDIS_URL)?,
        };
        let database = random_name("quittance_test");
        let settings = settings(&server, &database, redis_url, self.extra)?;
        if postgres.is_some() {
            server.create_if_missing(&database).await?;
            run_worker_command("migrate", &settings.for_owner()).await?;
            server.create_logins().await?;
        } else {
            server.clone_template(&database).await?;
        }
        let (apis, workers) = start_services(&settings, self.apis, self.workers).await?;
        let first_api = apis.first().map(Service::url).unwrap_or_default();
        let operator = Operator::new(first_api, &settings.operator_token)?;
        let pool = server.pool(&database).await?;
        Ok(Deployment {
            apis,
            workers,
            pool,
            server,
            database,
            settings,
            operator,
            redis,
            postgres,
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
        redis_url,
        redis_prefix: random_name("test"),
        operator_token: random_token(),
        deposit_address: random_deposit_address(),
        extra,
    })
}

/// All at once, since each mostly waits.
async fn start_services(
    settings: &Settings,
    apis: usize,
    workers: usize,
) -> Result<(Vec<Service>, Vec<Service>), DeploymentError> {
    let apis = (0..apis).map(|_| Service::start_api(settings, ANY_PORT, None));
    let workers = (0..workers).map(|_| Service::start_worker(settings, None));
    let (apis, workers) = futures::try_join!(
        futures::future::try_join_all(apis),
        futures::future::try_join_all(workers)
    )?;
    for service in apis.iter().chain(&workers) {
        service.wait_until_ready().await?;
    }
    Ok((apis, workers))
}
