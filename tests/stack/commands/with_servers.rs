//! Runs a command with temporary servers that end with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::dev_folder::own_chain;
use super::interrupts::Interrupts;
use super::screen::say;
use super::{CommandError, INTERRUPTED};
use crate::chain::server::SLOT;
use crate::chain::{Chain, Location, TEST_CHAIN};
use crate::checkout;
use crate::database::{API_LOGIN, DatabaseServer, TEMPLATE, WATCHER_LOGIN, WORKER_LOGIN};
use crate::deployment::{POSTGRES_URL, REDIS_URL};
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::secret::{random_deposit_address, random_token};
use crate::service::run_worker_command;
use crate::settings::Settings;
use crate::spawner;

/// Many deployments at once, each with several processes.
const TEST_CONNECTIONS: u16 = 500;
const DATABASE_CONNECTIONS: u16 = 50;
const EXIT_POLL: Duration = Duration::from_millis(20);

/// Runs tests with a Postgres that has the template database, a Redis, and a chain.
pub(super) async fn test(command: &[String]) -> Result<u8, CommandError> {
    let mut interrupts = Interrupts::listen()?;
    let servers = tokio::select! {
        servers = TestServers::start() => servers?,
        _ = interrupts.next() => return Ok(INTERRUPTED),
    };
    let postgres_url = servers.postgres.url_superuser("postgres");
    let environment = [
        (POSTGRES_URL, postgres_url),
        (REDIS_URL, servers.redis.url()),
        (TEST_CHAIN, servers.chain.details().to_json()),
    ];
    run_to_end(command, &environment, &mut interrupts).await
}

/// Runs a command with the URL of a database that has the schema of the files in `migrations/`.
pub(super) async fn database(command: &[String]) -> Result<u8, CommandError> {
    const NAME: &str = "quittance";
    let mut interrupts = Interrupts::listen()?;
    let migrations = checkout::root()?.join("migrations");
    let postgres = tokio::select! {
        postgres = migrated(NAME, &migrations) => postgres?,
        _ = interrupts.next() => return Ok(INTERRUPTED),
    };
    let environment = [("DATABASE_URL", postgres.url_superuser(NAME))];
    run_to_end(command, &environment, &mut interrupts).await
}

async fn migrated(database: &str, migrations: &Path) -> Result<Postgres, CommandError> {
    let postgres = Postgres::temporary(DATABASE_CONNECTIONS).await?;
    let server = DatabaseServer::new(&postgres.url_superuser("postgres"))?;
    server.create_if_missing(database).await?;
    server.migrate_from(migrations, database).await?;
    Ok(postgres)
}

struct TestServers {
    postgres: Postgres,
    redis: Redis,
    chain: Chain,
}

impl TestServers {
    async fn start() -> Result<Self, CommandError> {
        let location = Location::from_environment(own_chain(&checkout::root()?).as_deref())?;
        let seed = random_token();
        let ((postgres, redis), chain) = futures::try_join!(databases(), async {
            Ok(Chain::at(&location, &seed, SLOT, None).await?)
        })?;
        say(&format!(
            "test servers: PostgreSQL on port {}, Redis on port {}, chain at {}",
            postgres.port(),
            redis.port(),
            chain.rpc().url()
        ));
        Ok(Self {
            postgres,
            redis,
            chain,
        })
    }
}

/// A Postgres that has the template database, and a Redis.
async fn databases() -> Result<(Postgres, Redis), CommandError> {
    let postgres = Postgres::temporary(TEST_CONNECTIONS).await?;
    let redis = Redis::temporary().await?;
    let server = DatabaseServer::new(&postgres.url_superuser("postgres"))?;
    server.create_if_missing(TEMPLATE).await?;
    let settings = Settings {
        owner_url: server.superuser_url(TEMPLATE),
        api_url: server.login_url(API_LOGIN, TEMPLATE)?,
        worker_url: server.login_url(WORKER_LOGIN, TEMPLATE)?,
        watcher_url: server.login_url(WATCHER_LOGIN, TEMPLATE)?,
        redis_url: redis.url(),
        redis_prefix: TEMPLATE.to_owned(),
        operator_token: random_token(),
        deposit_address: random_deposit_address(),
        chain: None,
        extra: BTreeMap::new(),
    };
    run_worker_command("migrate", &settings.for_owner()).await?;
    server.create_logins().await?;
    server.seal_template().await?;
    Ok((postgres, redis))
}

/// Runs the command on our own terminal and returns its exit code.
async fn run_to_end(
    words: &[String],
    environment: &[(&str, String)],
    interrupts: &mut Interrupts,
) -> Result<u8, CommandError> {
    // Its servers end with us, so it should, too.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).args(words);
    command.envs(environment.iter().map(|(key, value)| (key, value)));
    let started = spawner::spawn(command);
    let failed = |source| CommandError::Run {
        command: words.join(" "),
        source,
    };
    let mut child = started.map_err(failed)?;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EXIT_POLL) => {
                if let Some(status) = child.try_wait().map_err(failed)? {
                    return Ok(exit_code(status));
                }
            }
            signal = interrupts.next() => forward(&child, signal),
        }
    }
}

/// Passes on what only we were sent. Ctrl-C goes to everybody at the terminal, so the command has
/// it already.
fn forward(child: &Child, signal: Signal) {
    if signal != Signal::SIGINT {
        let pid = i32::try_from(child.id()).map(Pid::from_raw);
        // Fails only when it has just ended.
        let _ = pid.map(|pid| kill(pid, signal));
    }
}

/// As shells tell it: 128 more than the signal that ended the command.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}
