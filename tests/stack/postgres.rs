//! A private Postgres server on a free loopback port.

mod cluster;
mod programs;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};

use self::cluster::Cluster;
pub use self::programs::OLDEST_MAJOR;
use crate::account::{Account, AccountError};
use crate::offspring::{all_gone, children_of, has_stopped, signal_all};
use crate::port::free_port;
use crate::process::{Process, ProcessError};
use crate::temporary_folder::TemporaryFolder;

/// Crash recovery is part of a start.
const READY_LIMIT: Duration = Duration::from_mins(2);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const KILL_LIMIT: Duration = Duration::from_secs(20);
const DROP_LIMIT: Duration = Duration::from_secs(5);
const PORTS_TRIED: u32 = 10;
const SAME_PORT_LIMIT: Duration = Duration::from_secs(10);
const SAME_PORT_POLL: Duration = Duration::from_millis(100);

/// What a server says when somebody else took its port in the meantime.
pub(crate) const PORT_TAKEN: &str = "Address already in use";

/// Why a private Postgres could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No Postgres server is installed.
    #[error(
        "PostgreSQL is not installed (no initdb in /usr/lib/postgresql/*/bin nor on PATH); \
         run tests/stack/prerequisites.sh"
    )]
    NotInstalled,
    /// What is installed is too old.
    #[error(
        "PostgreSQL {0} is installed, but Quittance needs {OLDEST_MAJOR} or newer; \
         see https://apt.postgresql.org"
    )]
    TooOld(u32),
    /// The data was made by another major version.
    #[error(
        "the data was made by PostgreSQL {data}, which is not installed any more (newest here: \
         {newest}); install the package postgresql-{data}, or run `make clean` to begin with empty \
         databases"
    )]
    OtherVersion {
        /// The version that made the data.
        data: u32,
        /// The newest version installed.
        newest: u32,
    },
    /// The password file is gone.
    #[error("{} is gone, so nobody can log in any more; remove {} to begin with empty databases",
        .0.join("password").display(), .0.display())]
    PasswordLost(PathBuf),
    /// The folder cannot be used.
    #[error("cannot use {} for PostgreSQL: {source}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb could not make the data; its last lines:{0}")]
    InitFailed(String),
    /// A server of an earlier start does not end.
    #[error("process {0} still serves this data and does not end; end it: kill -9 {0}")]
    OldServer(Pid),
    /// A process of the server went on after a signal that freezes it.
    #[error("process {0} of the server still ran long after it was to be frozen")]
    StillRunning(Pid),
    /// No port was free.
    #[error("no free loopback port was found for PostgreSQL: {0}")]
    NoPort(io::Error),
    /// The server's own port was taken while it was down.
    #[error("port {0} was taken by another program while PostgreSQL was down")]
    PortLost(u16),
    /// The server is already running, or not running.
    #[error("PostgreSQL {0}")]
    WrongMoment(&'static str),
    /// No account to run as.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The server process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// A running private Postgres. Dropping it ends the server; a temporary one also loses its folder.
pub struct Postgres {
    cluster: Cluster,
    account: Account,
    max_connections: u16,
    /// Further settings, such as `shared_buffers=1GB`.
    settings: Vec<String>,
    log: Option<PathBuf>,
    port: u16,
    running: Mutex<Option<Arc<Process>>>,
    /// Held, not read. Declared last: removed after the server has ended.
    temporary_folder: Option<TemporaryFolder>,
}

impl Postgres {
    /// Starts a server on the data in the folder, which is made when it is missing.
    pub async fn start(
        folder: &Path,
        account: &Account,
        max_connections: u16,
        log: Option<&Path>,
    ) -> Result<Self, PostgresError> {
        Self::start_with(folder, account, max_connections, &[], log).await
    }

    async fn start_with(
        folder: &Path,
        account: &Account,
        max_connections: u16,
        settings: &[&str],
        log: Option<&Path>,
    ) -> Result<Self, PostgresError> {
        let cluster = Cluster::open(folder, account).await?;
        let mut postgres = Self {
            cluster,
            account: account.clone(),
            max_connections,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            log: log.map(Path::to_owned),
            port: 0,
            running: Mutex::new(None),
            temporary_folder: None,
        };
        for _ in 0..PORTS_TRIED {
            postgres.port = free_port().map_err(PostgresError::NoPort)?;
            if postgres.launch().await? {
                return Ok(postgres);
            }
        }
        Err(PostgresError::NoPort(io::Error::other(
            "each was taken at the last moment",
        )))
    }

    /// Starts a server with a folder of its own, which goes when the server goes.
    pub async fn temporary(max_connections: u16) -> Result<Self, PostgresError> {
        Self::temporary_with(max_connections, &[]).await
    }

    /// The same with further settings, each such as `shared_buffers=1GB`.
    pub async fn temporary_with(
        max_connections: u16,
        settings: &[&str],
    ) -> Result<Self, PostgresError> {
        let account = Account::for_servers()?;
        let folder = TemporaryFolder::create(&account).map_err(|source| PostgresError::Folder {
            path: std::env::temp_dir(),
            source,
        })?;
        let data = folder.path().join("postgres");
        let mut postgres =
            Self::start_with(&data, &account, max_connections, settings, None).await?;
        postgres.temporary_folder = Some(folder);
        Ok(postgres)
    }

    /// Starts the server process; false when the port was taken.
    async fn launch(&self) -> Result<bool, PostgresError> {
        self.cluster.clear_remains().await?;
        // A parent that dies without a word still leaves a clean cluster: SIGINT is Postgres's fast
        // shutdown.
        let mut command = self
            .account
            .command(self.cluster.programs.postgres(), Signal::SIGINT);
        command
            .arg("-D")
            .arg(self.cluster.data())
            .current_dir(self.cluster.data());
        let socket = self.cluster.socket_folder().display();
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={socket}"),
            format!("max_connections={}", self.max_connections),
            "logging_collector=off".to_owned(),
            "log_destination=stderr".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ]
        .iter()
        .chain(&self.settings)
        {
            command.arg("-c").arg(setting);
        }
        let process = Process::start("PostgreSQL", command, self.log.as_deref())?;
        let url = self.url_superuser("postgres");
        let ready = process.until_ready(READY_LIMIT, async || accepts(&url).await.then_some(()));
        if let Err(error) = ready.await {
            let taken = |line: &str| line.contains(PORT_TAKEN).then_some(());
            return if process.lines().find(taken).is_some() {
                Ok(false)
            } else {
                Err(error.into())
            };
        }
        *self.slot() = Some(Arc::new(process));
        Ok(true)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Process>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server process, while there is one.
    #[must_use]
    pub fn process(&self) -> Option<Arc<Process>> {
        self.slot().clone()
    }

    fn running(&self) -> Result<Arc<Process>, PostgresError> {
        self.process()
            .ok_or(PostgresError::WrongMoment("is not running"))
    }

    fn take(&self) -> Result<Arc<Process>, PostgresError> {
        self.slot()
            .take()
            .ok_or(PostgresError::WrongMoment("is not running"))
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another program of the same installation, such as `pgbench`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.cluster.programs.named(name)
    }

    /// Where the superuser finds the database.
    #[must_use]
    pub fn url_superuser(&self, database: &str) -> String {
        format!(
            "postgres://postgres:{}@127.0.0.1:{}/{database}",
            self.cluster.password, self.port
        )
    }

    /// Stops the server cleanly, cutting its connections.
    pub async fn stop(&self) -> Result<(), PostgresError> {
        let process = self.take()?;
        signal_all(&children_of(process.pid()), Signal::SIGCONT);
        process.stop(Signal::SIGINT, STOP_LIMIT).await?;
        Ok(())
    }

    /// Kills the server and all its children at once, as a power cut would.
    pub async fn kill(&self) -> Result<(), PostgresError> {
        let process = self.take()?;
        // Stopped, it starts no more children while we count them.
        process.pause().await?;
        let children = children_of(process.pid());
        process.kill().await;
        signal_all(&children, Signal::SIGKILL);
        // A new server does not start before the last child is gone.
        let survivor = children.first().copied().unwrap_or(process.pid());
        if all_gone(&children, KILL_LIMIT).await {
            Ok(())
        } else {
            Err(PostgresError::OldServer(survivor))
        }
    }

    /// Starts the server again after `stop` or `kill`, on the same port and data.
    pub async fn start_again(&self) -> Result<(), PostgresError> {
        if self.slot().is_some() {
            return Err(PostgresError::WrongMoment("is already running"));
        }
        let deadline = Instant::now() + SAME_PORT_LIMIT;
        while !self.launch().await? {
            if Instant::now() >= deadline {
                return Err(PostgresError::PortLost(self.port));
            }
            tokio::time::sleep(SAME_PORT_POLL).await;
        }
        Ok(())
    }

    /// Freezes the server and all its children: connections stay open and get no answer.
    pub async fn pause(&self) -> Result<(), PostgresError> {
        let process = self.running()?;
        process.pause().await?;
        let children = children_of(process.pid());
        signal_all(&children, Signal::SIGSTOP);
        for child in children {
            if !has_stopped(child, KILL_LIMIT).await {
                return Err(PostgresError::StillRunning(child));
            }
        }
        Ok(())
    }

    /// Lets a frozen server go on.
    pub fn resume(&self) -> Result<(), PostgresError> {
        let process = self.running()?;
        signal_all(&children_of(process.pid()), Signal::SIGCONT);
        Ok(process.resume()?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(process) = self.slot().take() else {
            return;
        };
        let children = children_of(process.pid());
        signal_all(&children, Signal::SIGCONT);
        // Immediate shutdown rather than SIGKILL, so that the server gives its shared memory back.
        let _ = process.signal(Signal::SIGCONT);
        let _ = process.signal(Signal::SIGQUIT);
        if process.wait_in_place(DROP_LIMIT).is_none() {
            process.kill_now();
            signal_all(&children, Signal::SIGKILL);
        }
    }
}

async fn accepts(url: &str) -> bool {
    let connection = tokio::time::timeout(PROBE_LIMIT, PgConnection::connect(url)).await;
    match connection {
        Ok(Ok(connection)) => connection.close().await.is_ok(),
        _ => false,
    }
}
