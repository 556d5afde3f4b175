//! The one thread that starts every child process.
//!
//! Linux sends a child its parent-death signal when the *thread* that started it ends. Runtime
//! threads come and go (each `#[tokio::test]` has its own), so children are started from a thread
//! that lives as long as the process.

use std::io;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

struct Order {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

static ORDERS: LazyLock<Option<Sender<Order>>> = LazyLock::new(|| {
    let (orders, queue) = channel();
    let thread = thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || serve(&queue));
    thread.is_ok().then_some(orders)
});

fn serve(queue: &Receiver<Order>) {
    for mut order in queue {
        let child = order.command.spawn();
        // Whoever ordered the child waits for it, so the answer always finds its reader.
        let _ = order.answer.send(child);
    }
}

/// Starts the command from the long-lived thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the thread that starts processes could not be created");
    let (answer, child) = sync_channel(1);
    let orders = ORDERS.as_ref().ok_or_else(gone)?;
    orders.send(Order { command, answer }).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}
