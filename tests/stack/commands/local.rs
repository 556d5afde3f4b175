//! The stack of `stack up`: its servers and processes, from start to stop.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::CommandError;
use super::dev_folder::{DevFolder, State};
use super::faucet::Faucet;
use super::screen::say;
use crate::account::Account;
use crate::chain::server::SLOT_FOR_PEOPLE;
use crate::chain::{Chain, ChainServer, Location};
use crate::checkout;
use crate::data_folder::{self, SHELTER};
use crate::database::{API_LOGIN, DatabaseError, DatabaseServer, WATCHER_LOGIN, WORKER_LOGIN};
use crate::postgres::Postgres;
use crate::process::{Process, QUOTED_LINES};
use crate::redis::Redis;
use crate::secret::derived_bytes;
use crate::service::{Service, run_worker_command};
use crate::settings::{ChainSettings, Settings};

const DATABASE: &str = "quittance";
const CONNECTIONS: u16 = 300;
const DEFAULT_PORT: u16 = 8080;
const PORT_VARIABLE: &str = "QUITTANCE_PORT";
const DEATH_POLL: Duration = Duration::from_millis(200);
/// Settings that follow from the stack itself; a shell that has read `.dev/env` may hold stale
/// ones.
const OURS: [&str; 5] = [
    "QUITTANCE_API_LISTEN",
    "QUITTANCE_WORKER_LISTEN",
    "QUITTANCE_WATCHER_LISTEN",
    "QUITTANCE_OPERATOR_TOKEN",
    "QUITTANCE_REDIS_PREFIX",
];

/// Everything that runs.
pub(super) struct Local {
    pub(super) api: Service,
    pub(super) worker: Service,
    pub(super) watcher: Service,
    pub(super) chain: Chain,
    pub(super) faucet: Faucet,
    pub(super) database_url: String,
    pub(super) state: State,
    pub(super) dev: DevFolder,
    redis: Redis,
    postgres: Postgres,
}

impl Local {
    /// Starts everything, telling each step.
    pub(super) async fn start() -> Result<Self, CommandError> {
        let checkout = checkout::root()?;
        let account = Account::for_servers()?;
        let dev = DevFolder::take(&checkout, &account)?;
        let port = api_port()?;
        let mut state = dev.state();
        let location = Location::from_environment(state.own_chain.as_deref())?;
        dev.keep(&state)?;
        let data = data_folder::place(dev.path(), &account, Path::new(SHELTER))?;
        say(&format!("data         {}", data.display()));

        let (postgres, redis, chain) = servers(&dev, &account, &data, &location, &state).await?;
        state.own_chain = chain.server().map(ChainServer::rpc_url);
        dev.keep(&state)?;
        let server = DatabaseServer::new(&postgres.url_superuser("postgres"))?;
        let settings = settings(&server, &redis, &chain, &state)?;
        server.create_if_missing(DATABASE).await?;
        run_worker_command("migrate", &settings.for_owner()).await?;
        server.create_logins().await?;
        if chain.server().is_some() {
            forget_chain(&server).await?;
        }
        say("schema       up to date");

        let faucet = Faucet::start(chain.clone())
            .await
            .map_err(CommandError::Faucet)?;
        let listen = format!("127.0.0.1:{port}");
        let logs = ["worker", "watcher", "api"].map(|name| dev.log(name));
        let (worker, watcher, api) = futures::try_join!(
            Service::start_worker(&settings, Some(&logs[0])),
            Service::start_watcher(&settings, Some(&logs[1])),
            Service::start_api(&settings, &listen, Some(&logs[2]))
        )?;
        for (name, service) in [("api", &api), ("worker", &worker), ("watcher", &watcher)] {
            service.wait_until_ready().await?;
            say(&format!("{name:<12} {}", service.url()));
        }
        let local = Self {
            api,
            worker,
            watcher,
            chain,
            faucet,
            database_url: settings.owner_url,
            state,
            dev,
            redis,
            postgres,
        };
        local.tell_scripts(&settings.redis_url)?;
        Ok(local)
    }

    /// Writes down where everything is.
    fn tell_scripts(&self, redis_url: &str) -> Result<(), CommandError> {
        let mints = [self.chain.usdc_mint(), self.chain.usdt_mint()].map(|mint| mint.to_string());
        Ok(self.dev.write_environment(&[
            ("QUITTANCE_URL", self.api.url()),
            ("QUITTANCE_OPERATOR_TOKEN", &self.state.operator_token),
            ("QUITTANCE_FAUCET_URL", self.faucet.url()),
            ("DATABASE_URL", &self.database_url),
            ("REDIS_URL", redis_url),
            ("SOLANA_RPC_URL", self.chain.rpc_url()),
            ("SOLANA_WS_URL", self.chain.ws_url()),
            ("USDC_MINT", &mints[0]),
            ("USDT_MINT", &mints[1]),
        ])?)
    }

    /// Waits until one of the parts ends by itself, and tells which and why.
    pub(super) async fn first_death(&self) -> CommandError {
        loop {
            if let Some(death) = self.cause_of_death() {
                return death;
            }
            tokio::time::sleep(DEATH_POLL).await;
        }
    }

    /// Which part has ended by itself, if any.
    pub(super) fn cause_of_death(&self) -> Option<CommandError> {
        let chain = self.chain.server().and_then(ChainServer::process);
        let servers = [self.postgres.process(), self.redis.process(), chain];
        let services = [&self.api, &self.worker, &self.watcher].map(Service::process);
        let report = |process: &Process| Some(process.ended(process.exited()?).to_string());
        let dead_service = services.into_iter().find_map(report);
        let death =
            dead_service.or_else(|| servers.iter().flatten().find_map(|server| report(server)));
        death.map(CommandError::Died)
    }

    /// Stops everything, in the order in which the parts need each other. Goes on when a part does
    /// not stop well.
    pub(super) async fn stop(self) -> Result<(), CommandError> {
        let mut complaints = Vec::new();
        let services = [&self.api, &self.worker, &self.watcher];
        let outcomes = futures::future::join_all(services.map(Service::terminate)).await;
        for (service, outcome) in services.into_iter().zip(outcomes) {
            let name = service.process().name();
            match outcome {
                Ok(status) if status.success() => {}
                Ok(status) => {
                    let tail = service.process().lines().tail(QUOTED_LINES);
                    complaints.push(format!("{name} ended with {status}:{tail}"));
                }
                Err(error) => complaints.push(error.to_string()),
            }
        }
        if let Some(server) = self.chain.server() {
            complaints.extend(server.stop().await.err().map(|error| error.to_string()));
        }
        let servers = (self.redis.stop().await, self.postgres.stop().await);
        complaints.extend(servers.0.err().map(|error| error.to_string()));
        complaints.extend(servers.1.err().map(|error| error.to_string()));
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(CommandError::Unclean(complaints.join("\n  ")))
        }
    }
}

/// Starts the servers at once and tells where they are.
async fn servers(
    dev: &DevFolder,
    account: &Account,
    data: &Path,
    location: &Location,
    state: &State,
) -> Result<(Postgres, Redis, Chain), CommandError> {
    let logs = ["postgres", "redis", "chain"].map(|name| dev.log(name));
    let folders = ["postgres", "redis"].map(|name| data.join(name));
    let postgres = async {
        let log = Some(logs[0].as_path());
        let postgres = Postgres::start(&folders[0], account, CONNECTIONS, log).await?;
        say(&format!("PostgreSQL   127.0.0.1:{}", postgres.port()));
        Ok::<_, CommandError>(postgres)
    };
    let redis = async {
        let redis = Redis::start(&folders[1], account, Some(&logs[1])).await?;
        say(&format!("Redis        127.0.0.1:{}", redis.port()));
        Ok(redis)
    };
    let chain = async {
        let chain = Chain::at(location, &state.chain_seed, SLOT_FOR_PEOPLE, Some(&logs[2])).await?;
        match chain.server() {
            Some(server) => say(&format!("chain        127.0.0.1:{}", server.port())),
            None => say(&format!("chain        {}", chain.rpc().url())),
        }
        Ok(chain)
    };
    futures::try_join!(postgres, redis, chain)
}

/// Our own chain begins anew each time: how far the last one was followed means nothing on this one.
async fn forget_chain(server: &DatabaseServer) -> Result<(), CommandError> {
    let pool = server.pool(DATABASE).await?;
    let forgotten = sqlx::query(
        "update watched_keys set start_slot = 0, cursor_signature = null, cursor_slot = null",
    );
    let forgotten = forgotten.execute(&pool).await;
    pool.close().await;
    forgotten.map(drop).map_err(|source| {
        CommandError::Database(DatabaseError::Sql {
            doing: "forget the last chain".to_owned(),
            source,
        })
    })
}

/// The api's port, checked before anything starts.
fn api_port() -> Result<u16, CommandError> {
    let port = match env::var(PORT_VARIABLE) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| CommandError::NotAPort(text))?,
        Err(_) => DEFAULT_PORT,
    };
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(port),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(CommandError::PortInUse { port })
        }
        Err(source) => Err(CommandError::PortRefused { port, source }),
    }
}

fn settings(
    server: &DatabaseServer,
    redis: &Redis,
    chain: &Chain,
    state: &State,
) -> Result<Settings, CommandError> {
    // Browsers keep a cookie for HTTPS away from plain HTTP, which is all there is here.
    let plain_http = (
        "QUITTANCE_SESSION_COOKIE_SECURE".to_owned(),
        "false".to_owned(),
    );
    // Payments of an earlier start name the same one.
    let beacon = bs58::encode(derived_bytes(&state.chain_seed, "beacon")).into_string();
    let chosen = env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let chosen =
        chosen.filter(|(key, _)| key.starts_with("QUITTANCE_") && !OURS.contains(&key.as_str()));
    Ok(Settings {
        owner_url: server.superuser_url(DATABASE),
        api_url: server.login_url(API_LOGIN, DATABASE)?,
        worker_url: server.login_url(WORKER_LOGIN, DATABASE)?,
        watcher_url: server.login_url(WATCHER_LOGIN, DATABASE)?,
        redis_url: redis.url(),
        redis_prefix: DATABASE.to_owned(),
        operator_token: state.operator_token.clone(),
        deposit_address: chain.deposit_address().to_string(),
        chain: Some(ChainSettings::of(chain, beacon)),
        extra: [plain_http]
            .into_iter()
            .chain(chosen)
            .collect::<BTreeMap<_, _>>(),
    })
}
