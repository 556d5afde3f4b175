//! Ten thousand open files: more than many systems give a program that does not ask. The Makefile asks.

use std::fs;

use crate::failure::BenchError;

/// Makes sure that this process, and those it starts, may have so many files open.
pub fn check(needed: u64) -> Result<(), BenchError> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let allowed = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(u64::MAX);
    if allowed >= needed {
        Ok(())
    } else {
        Err(BenchError::Descriptors { needed, allowed })
    }
}
