//! Long tasks that a process cannot do without.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::task::JoinHandle;

/// The exit code after a panic, as of a panicking main thread.
const EXIT_CODE: i32 = 101;

/// Spawns a task without which the process is of no use. If it panics the process ends, loudly, and its successor
/// starts afresh; limping on would look healthy. Any process may die at any time, so this loses nothing.
pub fn supervised(
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            tracing::error!(
                task = name,
                "a task that must not end has panicked; the process ends"
            );
            std::process::exit(EXIT_CODE);
        }
    })
}
