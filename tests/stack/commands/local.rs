//! The stack of `stack up`: its servers and processes, from start to stop.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::CommandError;
use super::dev_folder::{DevFolder, State};
use super::screen::say;
use crate::account::Account;
use crate::checkout;
use crate::data_folder::{self, SHELTER};
use crate::database::{API_LOGIN, DatabaseServer, WORKER_LOGIN};
use crate::postgres::Postgres;
use crate::process::{Process, QUOTED_LINES};
use crate::redis::Redis;
use crate::service::{Service, run_worker_command};
use crate::settings::Settings;

const DATABASE: &str = "quittance";
const CONNECTIONS: u16 = 300;
const DEFAULT_PORT: u16 = 8080;
const PORT_VARIABLE: &str = "QUITTANCE_PORT";
const DEATH_POLL: Duration = Duration::from_millis(200);
/// Settings that follow from the stack itself; a shell that has read `.dev/env` may hold stale
/// ones.
const OURS: [&str; 4] = [
    "QUITTANCE_API_LISTEN",
    "QUITTANCE_WORKER_LISTEN",
    "QUITTANCE_OPERATOR_TOKEN",
    "QUITTANCE_REDIS_PREFIX",
];

/// Everything that runs.
pub(super) struct Local {
    pub(super) api: Service,
    pub(super) worker: Service,
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
        let state = dev.state();
        dev.keep(&state)?;
        let data = data_folder::place(dev.path(), &account, Path::new(SHELTER))?;
        say(&format!("data         {}", data.display()));

        let log = dev.log("postgres");
        let postgres =
            Postgres::start(&data.join("postgres"), &account, CONNECTIONS, Some(&log)).await?;
        say(&format!("PostgreSQL   127.0.0.1:{}", postgres.port()));
        let redis = Redis::start(&data.join("redis"), &account, Some(&dev.log("redis"))).await?;
        say(&format!("Redis        127.0.0.1:{}", redis.port()));

        let server = DatabaseServer::new(&postgres.url_superuser("postgres"))?;
        let settings = settings(&server, &redis, &state)?;
        server.create_if_missing(DATABASE).await?;
        run_worker_command("migrate", &settings.for_owner()).await?;
        server.create_logins().await?;
        say("schema       up to date");

        let worker = Service::start_worker(&settings, Some(&dev.log("worker"))).await?;
        let listen = format!("127.0.0.1:{port}");
        let api = Service::start_api(&settings, &listen, Some(&dev.log("api"))).await?;
        worker.wait_until_ready().await?;
        api.wait_until_ready().await?;
        say(&format!("api          {}", api.url()));
        say(&format!("worker       {}", worker.url()));
        let database_url = settings.owner_url;
        dev.write_environment(&[
            ("QUITTANCE_URL", api.url()),
            ("QUITTANCE_OPERATOR_TOKEN", &state.operator_token),
            ("DATABASE_URL", &database_url),
            ("REDIS_URL", &settings.redis_url),
        ])?;
        Ok(Self {
            api,
            worker,
            database_url,
            state,
            dev,
            redis,
            postgres,
        })
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
        let servers = [self.postgres.process(), self.redis.process()];
        let services = [self.api.process(), self.worker.process()];
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
        let (api, worker) = futures::join!(self.api.terminate(), self.worker.terminate());
        for (service, outcome) in [(&self.api, api), (&self.worker, worker)] {
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
    state: &State,
) -> Result<Settings, CommandError> {
    // Browsers keep a cookie for HTTPS away from plain HTTP, which is all there is here.
    let plain_http = (
        "QUITTANCE_SESSION_COOKIE_SECURE".to_owned(),
        "false".to_owned(),
    );
    let chosen = env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let chosen =
        chosen.filter(|(key, _)| key.starts_with("QUITTANCE_") && !OURS.contains(&key.as_str()));
    Ok(Settings {
        owner_url: server.superuser_url(DATABASE),
        api_url: server.login_url(API_LOGIN, DATABASE)?,
        worker_url: server.login_url(WORKER_LOGIN, DATABASE)?,
        redis_url: redis.url(),
        redis_prefix: DATABASE.to_owned(),
        operator_token: state.operator_token.clone(),
        deposit_address: state.deposit_address.clone(),
        extra: [plain_http]
            .into_iter()
            .chain(chosen)
            .collect::<BTreeMap<_, _>>(),
    })
}
