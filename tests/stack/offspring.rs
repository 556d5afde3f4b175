//! Processes that are not ours to wait for: the children of a child.
//!
//! Read from the parts of `/proc` that everybody may read: root in a container often may not look
//! further into a process of another user.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const POLL: Duration = Duration::from_millis(10);

struct Stat {
    state: char,
    parent: Pid,
}

fn stat(pid: Pid) -> Option<Stat> {
    read_stat(Path::new(&format!("/proc/{pid}")))
}

/// The state of a process, or of one thread, of which this is the folder in `/proc`.
fn read_stat(folder: &Path) -> Option<Stat> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The program's name stands in parentheses and may hold any character, so the fields count from
    // the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    // Ended, but not waited for by its parent.
    (!matches!(state, 'Z' | 'X')).then_some(Stat { state, parent })
}

/// The living children of a process.
#[must_use]
pub fn children_of(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.map(Pid::from_raw)
        .filter(|pid| stat(*pid).is_some_and(|of| of.parent == parent))
        .collect()
}

/// True while the process exists and has not ended. One that has ended but was not waited for has
/// ended.
#[must_use]
pub fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some()
}

/// True when one of the arguments that the process was started with is exactly this one.
#[must_use]
pub fn was_started_with(pid: Pid, argument: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    is_alive(pid)
        && line
            .split(|byte| *byte == 0)
            .any(|part| part == argument.as_bytes())
}

/// Sends the signal to each process that still exists.
pub fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // The only failure is that it has just ended.
        let _ = kill(*pid, signal);
    }
}

/// Waits until none of the processes is alive; false when time runs out.
pub async fn all_gone(pids: &[Pid], limit: Duration) -> bool {
    until(limit, || !pids.iter().any(|pid| is_alive(*pid))).await
}

/// Waits until a stop signal has taken effect on every thread; false when time runs out. A signal
/// has only been sent when `kill` returns: on a busy machine the threads go on for a while.
pub async fn has_stopped(pid: Pid, limit: Duration) -> bool {
    until(limit, || {
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        let mut threads = threads.into_iter().flatten().flatten();
        threads.all(|thread| read_stat(&thread.path()).is_none_or(|of| of.state == 'T'))
    })
    .await
}

async fn until(limit: Duration, reached: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !reached() {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn children_are_found_stopped_and_lost() {
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .expect("it starts");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        assert!(children_of(Pid::this()).contains(&pid));
        while !was_started_with(pid, "30") {
            tokio::time::sleep(POLL).await;
        }
        assert!(!was_started_with(pid, "3"));
        signal_all(&[pid], Signal::SIGSTOP);
        assert!(has_stopped(pid, Duration::from_secs(5)).await);
        assert!(!all_gone(&[pid], Duration::ZERO).await);
        signal_all(&[pid], Signal::SIGKILL);
        // Not waited for yet, but ended all the same.
        assert!(all_gone(&[pid], Duration::from_secs(5)).await);
        assert!(!children_of(Pid::this()).contains(&pid));
        child.wait().expect("it was ours");
    }
}
