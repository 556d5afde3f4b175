//! A child process that cannot outlive its owner, nor the program that started it.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lines::Lines;
use crate::offspring::has_stopped;
use crate::spawner;

const EXIT_POLL: Duration = Duration::from_millis(10);
const READY_POLL: Duration = Duration::from_millis(20);
const PAUSE_LIMIT: Duration = Duration::from_secs(10);
/// How long after its end what a process said is read. One that was killed may have children who hold its output open.
const LAST_WORDS: Duration = Duration::from_secs(10);
const LAST_WORDS_KILLED: Duration = Duration::from_millis(500);
/// How many lines of a process's output an error message quotes.
pub(crate) const QUOTED_LINES: usize = 20;

/// Why a child process could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("cannot start {name} ({program}): {source}{}", hint(program))]
    Start {
        /// What it is called here.
        name: String,
        /// The file that was to run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The log file could not be written.
    #[error(
        "cannot write the log of {name} to {}: {source}; make the folder writable", file.display()
    )]
    Log {
        /// What the process is called here.
        name: String,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The process ended by itself, before it could be signalled.
    #[error("{name} has ended by itself ({status}); its last lines:{tail}")]
    Ended {
        /// What the process is called here.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        tail: String,
    },
    /// The signal could not be sent.
    #[error("cannot send {signal} to {name} (process {pid}): {source}")]
    Signal {
        /// What the process is called here.
        name: String,
        /// Its process id.
        pid: Pid,
        /// The signal.
        signal: Signal,
        /// What the system said.
        source: nix::Error,
    },
    /// The process runs, but does not do its work.
    #[error("{name} was not ready within {} s; its last lines:{tail}", limit.as_secs_f32())]
    NotReady {
        /// What the process is called here.
        name: String,
        /// How long it was given.
        limit: Duration,
        /// Its last lines.
        tail: String,
    },
    /// The process went on after a signal that freezes it.
    #[error("{name} still ran {} s after it was to be frozen", limit.as_secs_f32())]
    Running {
        /// What the process is called here.
        name: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The process did not end in time and was killed.
    #[error(
        "{name} did not end within {} s after {signal}, so it was killed; its last lines:{tail}",
        limit.as_secs_f32()
    )]
    Stuck {
        /// What the process is called here.
        name: String,
        /// The signal that should have ended it.
        signal: Signal,
        /// How long it was given.
        limit: Duration,
        /// Its last lines.
        tail: String,
    },
}

fn hint(program: &str) -> &'static str {
    if program == "setpriv" {
        "; install the package util-linux"
    } else {
        ""
    }
}

/// A child process. Dropping it kills it.
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    lines: Lines,
}

impl Process {
    /// Starts the command with its output captured; with a file, the output also goes there.
    pub fn start(
        name: &str,
        mut command: Command,
        log: Option<&Path>,
    ) -> Result<Self, ProcessError> {
        let lines = Lines::new(log.map(|file| create_log(name, file)).transpose()?);
        // Own process group: Ctrl-C in a terminal goes to the whole group, but children stop in our
        // order.
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = spawner::spawn(command).map_err(|source| ProcessError::Start {
            name: name.to_owned(),
            program,
            source,
        })?;
        if let Some(pipe) = child.stdout.take() {
            lines.drain(pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            lines.drain(pipe);
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        Ok(Self {
            name: name.to_owned(),
            pid,
            child: Mutex::new(child),
            lines,
        })
    }

    /// What the process is called here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What the process has said.
    #[must_use]
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// How the process ended, or `None` while it runs.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().ok().flatten()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Only a child that is not yet reaped is sure to be the owner of its process id.
        if let Ok(Some(status)) = child.try_wait() {
            return Err(self.ended(status));
        }
        kill(self.pid, signal).map_err(|source| ProcessError::Signal {
            name: self.name.clone(),
            pid: self.pid,
            signal,
            source,
        })
    }

    /// Freezes the process; no thread of it runs any more when this returns.
    pub async fn pause(&self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGSTOP)?;
        if has_stopped(self.pid, PAUSE_LIMIT).await {
            return Ok(());
        }
        Err(ProcessError::Running {
            name: self.name.clone(),
            limit: PAUSE_LIMIT,
        })
    }

    /// Lets a frozen process go on.
    pub fn resume(&self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGCONT)
    }

    /// Waits for the process to end, for a bounded time.
    pub async fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                self.lines.ended(LAST_WORDS).await;
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(EXIT_POLL).await;
        }
    }

    /// Waits until the probe finds something, for a bounded time and only while the process runs.
    pub async fn until_ready<T>(
        &self,
        limit: Duration,
        probe: impl AsyncFn() -> Option<T>,
    ) -> Result<T, ProcessError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = probe().await {
                return Ok(found);
            }
            if let Some(status) = self.wait(READY_POLL).await {
                return Err(self.ended(status));
            }
            if Instant::now() >= deadline {
                let tail = self.lines.tail(QUOTED_LINES);
                return Err(ProcessError::NotReady {
                    name: self.name.clone(),
                    limit,
                    tail,
                });
            }
        }
    }

    /// The error that says that the process has ended by itself.
    pub(crate) fn ended(&self, status: ExitStatus) -> ProcessError {
        let tail = self.lines.tail(QUOTED_LINES);
        ProcessError::Ended {
            name: self.name.clone(),
            status,
            tail,
        }
    }

    /// Asks the process to end and waits; kills it when it does not end in time.
    pub async fn stop(&self, signal: Signal, limit: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(signal)?;
        // A stopped process would only see the signal once it continues.
        let _ = self.resume();
        if let Some(status) = self.wait(limit).await {
            return Ok(status);
        }
        self.kill().await;
        let tail = self.lines.tail(QUOTED_LINES);
        Err(ProcessError::Stuck {
            name: self.name.clone(),
            signal,
            limit,
            tail,
        })
    }

    /// Kills the process at once and waits until it is gone. Killing an ended process does nothing.
    pub async fn kill(&self) {
        self.kill_now();
        self.lines.ended(LAST_WORDS_KILLED).await;
    }

    /// As `kill`, for places that cannot await: SIGKILL acts at once, so the wait is short.
    pub(crate) fn kill_now(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Both fail only for a child that is already gone.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits without a runtime, for `Drop`.
    pub(crate) fn wait_in_place(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(EXIT_POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_now();
    }
}

fn create_log(name: &str, file: &Path) -> Result<File, ProcessError> {
    File::create(file).map_err(|source| ProcessError::Log {
        name: name.to_owned(),
        file: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
