//! The test's hand on the network.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::plan::{Direction, Ended, Mode, Plan};
use super::port;
use super::relay::{Passed, relay};

/// What a proxy has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that clients have made so far; refused ones are not seen.
    pub accepted: u64,
    /// Those that are open now.
    pub open: usize,
    /// Bytes that have arrived at the server.
    pub to_server: u64,
    /// Bytes that have arrived at the client.
    pub to_client: u64,
}

/// A proxy in front of one address. It ends, with its connections, when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    plan: watch::Sender<Plan>,
    /// Whether somebody listens.
    listening: watch::Sender<bool>,
    accepted: AtomicU64,
    open: AtomicUsize,
    passed: Arc<Passed>,
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FaultProxy {
    /// A proxy on a free loopback port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = port::listen().await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            plan: watch::Sender::new(Plan::default()),
            listening: watch::Sender::new(true),
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            passed: Arc::default(),
        });
        let serving = serve(Arc::clone(&shared), listener, address, target);
        let task = tokio::spawn(async { match serving.await {} });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL such as `ws://127.0.0.1:12345`.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Changes what becomes of connections.
    pub async fn set(&self, mode: Mode) {
        self.change(|plan| plan.mode = mode);
        let mut listening = self.shared.listening.subscribe();
        let wanted = mode != Mode::Refuse;
        // It fails only when the proxy is gone.
        let _ = listening.wait_for(|listening| *listening == wanted).await;
    }

    /// Delays every byte of one direction from now on; order and throughput stay.
    pub fn set_delay(&self, direction: Direction, delay: Duration) {
        self.change(|plan| plan.lane_mut(direction).delay = delay);
    }

    /// Resets every connection once so many of its bytes have passed in one direction.
    pub fn set_cut(&self, direction: Direction, bytes: Option<u64>) {
        self.change(|plan| plan.lane_mut(direction).cut_after = bytes);
    }

    /// Closes the open connections; new ones are not affected.
    pub fn drop_connections(&self) {
        self.end_all(false);
    }

    /// Resets the open connections; new ones are not affected.
    pub fn reset_connections(&self) {
        self.end_all(true);
    }

    fn end_all(&self, by_reset: bool) {
        let below = self.shared.accepted.load(Ordering::SeqCst);
        self.change(|plan| plan.ended = Ended { below, by_reset });
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        self.shared.plan.send_modify(change);
    }

    /// What has passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let passed = &self.shared.passed;
        Traffic {
            accepted: self.shared.accepted.load(Ordering::SeqCst),
            open: self.shared.open.load(Ordering::SeqCst),
            to_server: passed.to_server.load(Ordering::SeqCst),
            to_client: passed.to_client.load(Ordering::SeqCst),
        }
    }
}

/// Accepts and refuses as the plan says.
async fn serve(
    shared: Arc<Shared>,
    mut listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = until(&shared, |mode| mode == Mode::Refuse) => {
                drop(listener);
                shared.listening.send_replace(false);
                until(&shared, |mode| mode != Mode::Refuse).await;
                listener = listen_again(address).await;
                shared.listening.send_replace(true);
            }
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let open = Open::new(Arc::clone(&shared));
                    connections.spawn(connection(open, client, target));
                }
            }
        }
    }
}

async fn until(shared: &Shared, wanted: impl Fn(Mode) -> bool) {
    let mut plan = shared.plan.subscribe();
    // It fails only when the proxy is gone, and then nobody waits.
    let _ = plan.wait_for(|plan| wanted(plan.mode)).await;
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    const AGAIN: Duration = Duration::from_millis(5);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// A connection that is counted while it lives.
struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self { shared, number }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn connection(open: Open, client: TcpStream, target: SocketAddr) {
    let plan = open.shared.plan.subscribe();
    let passed = Arc::clone(&open.shared.passed);
    relay(open.number, client, target, plan, passed).await;
}
