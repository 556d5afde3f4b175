//! A private Redis server on a free loopback port. It keeps nothing: Redis carries hints, Postgres
//! the truth.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::redis::{Client, RedisResult};
use nix::sys::signal::Signal;

use crate::account::{Account, AccountError};
use crate::port::free_port;
use crate::postgres::PORT_TAKEN;
use crate::process::{Process, ProcessError};
use crate::secret::{random_token, write_private};
use crate::temporary_folder::TemporaryFolder;

const READY_LIMIT: Duration = Duration::from_secs(30);
const PROBE_LIMIT: Duration = Duration::from_secs(2);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const PORTS_TRIED: u32 = 10;
const SAME_PORT_LIMIT: Duration = Duration::from_secs(10);
const SAME_PORT_POLL: Duration = Duration::from_millis(100);

/// Why a private Redis could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The folder cannot be used.
    #[error("cannot use {} for Redis: {source}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program is missing.
    #[error("redis-server is not installed; run tests/stack/prerequisites.sh")]
    NotInstalled,
    /// No port was free.
    #[error("no free loopback port was found for Redis: {0}")]
    NoPort(io::Error),
    /// The server's own port was taken while it was down.
    #[error("port {0} was taken by another program while Redis was down")]
    PortLost(u16),
    /// The server is already running, or not running.
    #[error("Redis {0}")]
    WrongMoment(&'static str),
    /// No account to run as.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The server process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// A running private Redis. Dropping it ends the server; a temporary one also loses its folder.
pub struct Redis {
    program: PathBuf,
    folder: PathBuf,
    account: Account,
    password: String,
    log: Option<PathBuf>,
    port: u16,
    running: Mutex<Option<Arc<Process>>>,
    /// Held, not read. Declared last: removed after the server has ended.
    temporary_folder: Option<TemporaryFolder>,
}

impl Redis {
    /// Starts a server that works in the folder, which is made when it is missing.
    pub async fn start(
        folder: &Path,
        account: &Account,
        log: Option<&Path>,
    ) -> Result<Self, RedisError> {
        let mut redis = Self {
            program: find_program().ok_or(RedisError::NotInstalled)?,
            folder: folder.to_owned(),
            account: account.clone(),
            password: random_token(),
            log: log.map(Path::to_owned),
            port: 0,
            running: Mutex::new(None),
            temporary_folder: None,
        };
        redis.prepare().map_err(|source| RedisError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        for _ in 0..PORTS_TRIED {
            redis.port = free_port().map_err(RedisError::NoPort)?;
            if redis.launch().await? {
                return Ok(redis);
            }
        }
        Err(RedisError::NoPort(io::Error::other(
            "each was taken at the last moment",
        )))
    }

    /// Starts a server with a folder of its own, which goes when the server goes.
    pub async fn temporary() -> Result<Self, RedisError> {
        let account = Account::for_servers()?;
        let temporary = TemporaryFolder::create(&account).map_err(|source| RedisError::Folder {
            path: std::env::temp_dir(),
            source,
        })?;
        let mut redis = Self::start(&temporary.path().join("redis"), &account, None).await?;
        redis.temporary_folder = Some(temporary);
        Ok(redis)
    }

    fn settings_file(&self) -> PathBuf {
        self.folder.join("redis.conf")
    }

    /// The password goes through a closed file: every user of the machine can read a command line.
    fn prepare(&self) -> io::Result<()> {
        if !self.folder.exists() {
            DirBuilder::new().mode(0o700).create(&self.folder)?;
            self.account.give(&self.folder)?;
        }
        let settings = format!("requirepass {}\n", self.password);
        write_private(&self.settings_file(), &settings)?;
        self.account.give(&self.settings_file())
    }

    /// Starts the server process; false when the port was taken.
    async fn launch(&self) -> Result<bool, RedisError> {
        let mut command = self.account.command(&self.program, Signal::SIGTERM);
        command.arg(self.settings_file()).current_dir(&self.folder);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--dir",
        ]);
        command.arg(&self.folder);
        let process = Process::start("Redis", command, self.log.as_deref())?;
        let url = self.url();
        let ready = process.until_ready(READY_LIMIT, async || {
            accepts(&url).await.is_ok().then_some(())
        });
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

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Process>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server process, while there is one.
    #[must_use]
    pub fn process(&self) -> Option<Arc<Process>> {
        self.slot().clone()
    }

    fn running(&self) -> Result<Arc<Process>, RedisError> {
        self.process()
            .ok_or(RedisError::WrongMoment("is not running"))
    }

    fn take(&self) -> Result<Arc<Process>, RedisError> {
        self.slot()
            .take()
            .ok_or(RedisError::WrongMoment("is not running"))
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where clients find the server, with the password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", self.password, self.port)
    }

    /// Stops the server cleanly. What it held is gone.
    pub async fn stop(&self) -> Result<(), RedisError> {
        self.take()?.stop(Signal::SIGTERM, STOP_LIMIT).await?;
        Ok(())
    }

    /// Kills the server at once. What it held is gone.
    pub async fn kill(&self) -> Result<(), RedisError> {
        self.take()?.kill().await;
        Ok(())
    }

    /// Starts the server again after `stop` or `kill`, empty, on the same port.
    pub async fn start_again(&self) -> Result<(), RedisError> {
        if self.slot().is_some() {
            return Err(RedisError::WrongMoment("is already running"));
        }
        let deadline = Instant::now() + SAME_PORT_LIMIT;
        while !self.launch().await? {
            if Instant::now() >= deadline {
                return Err(RedisError::PortLost(self.port));
            }
            tokio::time::sleep(SAME_PORT_POLL).await;
        }
        Ok(())
    }

    /// Freezes the server: connections stay open and get no answer.
    pub async fn pause(&self) -> Result<(), RedisError> {
        Ok(self.running()?.pause().await?)
    }

    /// Lets a frozen server go on.
    pub fn resume(&self) -> Result<(), RedisError> {
        Ok(self.running()?.resume()?)
    }
}

fn find_program() -> Option<PathBuf> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&search_path).map(|folder| folder.join("redis-server"));
    places.find(|program| fs::metadata(program).is_ok_and(|found| found.is_file()))
}

async fn accepts(url: &str) -> RedisResult<()> {
    let client = Client::open(url)?;
    let answer = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        ::redis::cmd("PING").query_async(&mut connection).await
    };
    tokio::time::timeout(PROBE_LIMIT, answer)
        .await
        .unwrap_or_else(
            |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time").into()),
        )
}
