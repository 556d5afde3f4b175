//! What processes use, read from `/proc`.

use std::fs;
use std::time::Duration;

use nix::unistd::Pid;
use stack::offspring::children_of;

use crate::failure::BenchError;

/// The unit of processor time in `/proc` is the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

struct ProcessorTime {
    own: Duration,
    /// Of children that have ended.
    children: Duration,
}

/// A process' memory (RSS), KiB.
pub fn memory_kib(pid: u32) -> Result<u64, BenchError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    let resident = status.ok().and_then(|status| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    resident.ok_or(BenchError::Process(pid))
}

/// The processor time that a process has used itself.
pub fn own_time(pid: u32) -> Result<Duration, BenchError> {
    Ok(processor_time(pid)?.own)
}

/// The processor time that a process and its children have used, those that have ended included.
pub fn family_time(pid: Pid) -> Result<Duration, BenchError> {
    let parent = processor_time(number(pid))?;
    // One that has just ended is in the parent's sum from now on.
    let living = children_of(pid)
        .into_iter()
        .filter_map(|child| processor_time(number(child)).ok());
    Ok(parent.own + parent.children + living.map(|child| child.own).sum::<Duration>())
}

/// As `/proc` names it.
pub fn number(pid: Pid) -> u32 {
    pid.as_raw().unsigned_abs()
}

fn processor_time(pid: u32) -> Result<ProcessorTime, BenchError> {
    let read = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name may hold any character, so the fields count from its end.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<u32>().ok();
        Some(ProcessorTime {
            own: TICK * (ticks(11)? + ticks(12)?),
            children: TICK * (ticks(13)? + ticks(14)?),
        })
    };
    read().ok_or(BenchError::Process(pid))
}

/// The machine's size, and what it is busy with.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!("{cores} cores, {build} build; load average before the start {load}")
}
