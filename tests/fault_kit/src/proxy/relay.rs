//! One connection through the proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::plan::{Direction, End, Mode, Plan};

const CHUNK: usize = 16 * 1024;
/// How many chunks may be on their way at once.
const CHUNKS: usize = 256;

/// What has passed, over all connections.
#[derive(Debug, Default)]
pub struct Passed {
    pub to_server: AtomicU64,
    pub to_client: AtomicU64,
}

impl Passed {
    pub const fn in_direction(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

/// Relays until one side or the plan ends it.
pub async fn relay(
    number: u64,
    mut client: TcpStream,
    target: SocketAddr,
    mut plan: watch::Receiver<Plan>,
    passed: Arc<Passed>,
) {
    // A connection that arrives while nothing comes through is kept, without a server.
    let early = tokio::select! {
        end = ends(number, plan.clone()) => Some(end),
        () = thawed(&mut plan) => None,
    };
    if let Some(end) = early {
        finish(client, None, end);
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    // Small messages must not wait for one another.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let lane = |direction| Way {
            direction,
            plan: plan.clone(),
            passed: Arc::clone(&passed),
        };
        let there = lane(Direction::ToServer).carry(from_client, to_server);
        let back = lane(Direction::ToClient).carry(from_server, to_client);
        tokio::select! {
            end = ends(number, plan.clone()) => end,
            // A connection that breaks on one side breaks on the other.
            result = async { tokio::try_join!(there, back) } => {
                if result.is_ok() { End::Close } else { End::Reset }
            }
        }
    };
    finish(client, Some(server), end);
}

fn finish(client: TcpStream, server: Option<TcpStream>, end: End) {
    if end == End::Reset {
        // It fails when the connection is gone already.
        let _ = client.set_zero_linger();
        if let Some(server) = &server {
            let _ = server.set_zero_linger();
        }
    }
    drop((client, server));
}

/// Waits for the plan to end the connection.
async fn ends(number: u64, mut plan: watch::Receiver<Plan>) -> End {
    loop {
        let end = plan.borrow_and_update().end(number);
        if let Some(end) = end {
            return end;
        }
        if plan.changed().await.is_err() {
            return End::Close;
        }
    }
}

/// Waits while nothing may come through.
async fn thawed(plan: &mut watch::Receiver<Plan>) {
    // An error means that the proxy is gone, and its connections with it.
    let _ = plan.wait_for(|plan| plan.mode != Mode::Freeze).await;
}

/// One direction of one connection.
struct Way {
    direction: Direction,
    plan: watch::Receiver<Plan>,
    passed: Arc<Passed>,
}

/// Bytes, and when they may arrive.
type Chunk = (Instant, Vec<u8>);

impl Way {
    async fn carry(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let reading = self.read(from, sender);
        let writing = self.write(to, receiver);
        tokio::try_join!(reading, writing).map(|_| ())
    }

    async fn read(&self, mut from: ReadHalf<'_>, chunks: mpsc::Sender<Chunk>) -> io::Result<()> {
        let mut plan = self.plan.clone();
        let mut buffer = vec![0; CHUNK];
        loop {
            thawed(&mut plan).await;
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let delay = plan.borrow().lane(self.direction).delay;
            let chunk = (Instant::now() + delay, buffer[..read].to_vec());
            if chunks.send(chunk).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        mut to: WriteHalf<'_>,
        mut chunks: mpsc::Receiver<Chunk>,
    ) -> io::Result<()> {
        let mut plan = self.plan.clone();
        let mut written: u64 = 0;
        while let Some((due, mut bytes)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            thawed(&mut plan).await;
            let cut_after = plan.borrow().lane(self.direction).cut_after;
            let left = cut_after.map(|most| most.saturating_sub(written));
            if let Some(left) = left.and_then(|left| usize::try_from(left).ok()) {
                bytes.truncate(left);
            }
            to.write_all(&bytes).await?;
            let count = u64::try_from(bytes.len()).unwrap_or(0);
            written += count;
            let passed = self.passed.in_direction(self.direction);
            passed.fetch_add(count, Ordering::Relaxed);
            if cut_after.is_some_and(|most| written >= most) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        thawed(&mut plan).await;
        to.shutdown().await
    }
}
