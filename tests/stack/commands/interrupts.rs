//! What asks us to end.

use std::io::{IsTerminal, stdin};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::CommandError;

const TERMINAL_POLL: Duration = Duration::from_secs(1);

/// Ctrl-C, a polite kill, and a closed terminal.
pub(super) struct Interrupts {
    interrupt: Stream,
    terminate: Stream,
    hang_up: Stream,
    /// False also once the terminal is known to be gone.
    has_terminal: bool,
}

impl Interrupts {
    /// From here on these signals no longer end us; `next` tells of them.
    pub(super) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::Signals);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            has_terminal: stdin().is_terminal(),
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hang_up.recv() => Signal::SIGHUP,
            () = terminal_gone(self.has_terminal) => {
                self.has_terminal = false;
                Signal::SIGHUP
            }
        }
    }
}

/// Waits until the terminal is closed. The system tells only the first process of the session; when
/// that is `make` (as under `ssh host make up`), it keeps the news to itself.
async fn terminal_gone(has_terminal: bool) {
    if !has_terminal {
        return std::future::pending().await;
    }
    while stdin().is_terminal() {
        tokio::time::sleep(TERMINAL_POLL).await;
    }
}
