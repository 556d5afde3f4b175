//! The test's hand on a node.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use solana_signature::Signature;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::core::Core;
use super::direct::DirectLine;
use super::settings::{Handshakes, Health, Sending, Simulation, UnknownSignature};
use super::socket::{self, Condition, HeldOrder, NotificationFault, Subscription};
use super::{Call, Fault, Reply, RpcMethod, http};
use crate::chain::{FakeChain, Observer, View};

/// What was waited for did not happen in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing after {0:?}")]
pub struct TimedOut(pub Duration);

/// A node; clones are the same node, and it ends with the last one.
#[derive(Clone)]
pub struct FakeNode {
    pub(super) core: Arc<Core>,
    /// None when only direct lines lead here.
    servers: Option<Arc<Servers>>,
}

struct Servers {
    rpc: SocketAddr,
    socket: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Servers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The core of a node that follows a chain.
fn follower(chain: &FakeChain) -> Arc<Core> {
    let core = Arc::new(Core::new(chain.clone()));
    let observer: Arc<dyn Observer> = Arc::<Core>::clone(&core);
    chain.observe(Arc::downgrade(&observer));
    core
}

impl FakeNode {
    /// A node with a chain of its own.
    pub async fn start() -> io::Result<Self> {
        Self::on(&FakeChain::new()).await
    }

    /// A node of a chain that others may report too.
    pub async fn on(chain: &FakeChain) -> io::Result<Self> {
        let core = follower(chain);
        core.lock().sockets.wait_on(Handle::current());
        core.catch_up();
        let requests = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let sockets = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let rpc = requests.local_addr()?;
        let socket = sockets.local_addr()?;
        let serving = http::serve(Arc::clone(&core), requests);
        let listening = socket::serve(Arc::clone(&core), sockets);
        let tasks = [
            tokio::spawn(async { match serving.await {} }),
            tokio::spawn(async { match listening.await {} }),
        ];
        let servers = Some(Arc::new(Servers { rpc, socket, tasks }));
        Ok(Self { core, servers })
    }

    /// A node of a chain that is asked by direct lines only: no ports, no sockets, no waiting.
    #[must_use]
    pub fn unserved(chain: &FakeChain) -> Self {
        Self {
            core: follower(chain),
            servers: None,
        }
    }

    /// A line on which it is asked without a network between.
    #[must_use]
    pub fn line(&self) -> DirectLine {
        DirectLine::new(Arc::clone(&self.core))
    }

    /// # Panics
    /// When it is not served: a mistake of the test.
    #[expect(
        clippy::panic,
        reason = "only tests call this, and it is a mistake of the test"
    )]
    fn servers(&self) -> &Servers {
        match &self.servers {
            Some(servers) => servers,
            None => panic!("the node has direct lines only; start it with FakeNode::on"),
        }
    }

    /// Where JSON-RPC is.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.servers().rpc)
    }

    /// Where WebSocket is.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.servers().socket)
    }

    /// Where JSON-RPC is, for a proxy.
    #[must_use]
    pub fn rpc_address(&self) -> SocketAddr {
        self.servers().rpc
    }

    /// Where WebSocket is, for a proxy.
    #[must_use]
    pub fn ws_address(&self) -> SocketAddr {
        self.servers().socket
    }

    /// The chain that it reports.
    #[must_use]
    pub fn chain(&self) -> &FakeChain {
        &self.core.chain
    }

    /// Changes what it sees of the chain.
    pub fn look(&self, change: impl FnOnce(&mut View)) {
        self.core.look(change);
    }

    /// Is so many slots behind.
    pub fn set_lag(&self, slots: u64) {
        self.look(|view| view.lag = slots);
    }

    /// Sees nothing that comes after this moment, or everything again.
    pub fn set_stuck(&self, stuck: bool) {
        let slot = self.core.chain.slot();
        self.look(|view| view.stuck_at = stuck.then(|| slot.saturating_sub(view.lag)));
    }

    /// Does not know this transaction.
    pub fn hide(&self, signature: &Signature) {
        self.look(|view| {
            view.hidden.insert(*signature);
        });
    }

    /// Knows it again.
    pub fn show(&self, signature: &Signature) {
        self.look(|view| {
            view.hidden.remove(signature);
        });
    }

    /// Adds a fault; the one that was added first has the first say.
    pub fn fault(&self, fault: Fault) {
        self.core.add_fault(fault);
    }

    /// Decides on every call of a method.
    pub fn on_call(
        &self,
        method: RpcMethod,
        hook: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) {
        self.fault(Fault::on(method).reply_with(hook));
    }

    /// Takes all faults of answers away. Calls that hang go on hanging.
    pub fn clear_faults(&self) {
        self.core.clear_faults();
    }

    /// Adds a fault of notifications.
    pub fn notification_fault(&self, fault: NotificationFault) {
        self.core.lock().sockets.add_fault(fault);
    }

    /// Takes all faults of notifications away.
    pub fn clear_notification_faults(&self) {
        self.core.lock().sockets.clear_faults();
    }

    /// How many notifications are held.
    #[must_use]
    pub fn held_notifications(&self) -> usize {
        self.core.lock().sockets.held()
    }

    /// Sends the held notifications.
    pub fn release_held(&self, order: HeldOrder) {
        self.core.lock().sockets.release_held(order);
    }

    /// Stops all sockets that are open now without closing them: no messages, no pongs.
    pub fn freeze_sockets(&self) {
        self.core.lock().sockets.set(None, Condition::Frozen);
    }

    /// Lets frozen sockets go on; they say what they had to say meanwhile.
    pub fn thaw_sockets(&self) {
        self.core.lock().sockets.set(None, Condition::Live);
    }

    /// Drops all open sockets without a word.
    pub fn drop_sockets(&self) {
        self.core.lock().sockets.set(None, Condition::Dropped);
    }

    /// Closes all open sockets properly.
    pub fn close_sockets(&self) {
        self.core.lock().sockets.set(None, Condition::Closing);
    }

    /// What happens to new sockets.
    pub fn set_handshakes(&self, handshakes: Handshakes) {
        self.core.lock().settings.handshakes = handshakes;
    }

    /// What it does with an unknown `before` or `until`.
    pub fn set_unknown_signature(&self, unknown: UnknownSignature) {
        self.core.lock().settings.unknown_signature = unknown;
    }

    /// What it does with transactions that it is sent.
    pub fn set_sending(&self, sending: Sending) {
        self.core.lock().settings.sending = sending;
    }

    /// What it finds when it simulates.
    pub fn set_simulation(&self, simulation: Simulation) {
        self.core.lock().settings.simulation = simulation;
    }

    /// What `getHealth` says.
    pub fn set_health(&self, health: Health) {
        self.core.lock().settings.health = health;
    }

    /// The calls of a method so far.
    #[must_use]
    pub fn calls(&self, method: RpcMethod) -> Vec<Call> {
        let inner = self.core.lock();
        let of_method = inner.calls.iter();
        of_method
            .filter(|call| call.method == method.name())
            .cloned()
            .collect()
    }

    /// All calls so far, in order of arrival.
    #[must_use]
    pub fn all_calls(&self) -> Vec<Call> {
        self.core.lock().calls.clone()
    }

    /// How often a method was called.
    #[must_use]
    pub fn count(&self, method: RpcMethod) -> u64 {
        self.core.count(method.name())
    }

    /// The transactions that it was sent, as bytes.
    #[must_use]
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.core.lock().sent.clone()
    }

    /// How many sockets are open.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.core.lock().sockets.count().0
    }

    /// How many sockets there ever were.
    #[must_use]
    pub fn sockets_so_far(&self) -> u64 {
        self.core.lock().sockets.count().1
    }

    /// How many sockets were turned away, or left hanging, before they began.
    #[must_use]
    pub fn sockets_turned_away(&self) -> u64 {
        self.core.lock().turned_away
    }

    /// How many HTTP connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.core.lock().connections
    }

    /// The live subscriptions, by socket and number.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Subscription> {
        self.core.lock().sockets.all()
    }

    /// Waits until the node is as wanted; it is asked whenever something happens.
    pub async fn wait_until(
        &self,
        within: Duration,
        wanted: impl Fn(&Self) -> bool,
    ) -> Result<(), TimedOut> {
        let mut activity = self.core.activity();
        let happens = async {
            loop {
                activity.borrow_and_update();
                if wanted(self) || activity.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(within, happens)
            .await
            .map_err(|_| TimedOut(within))
    }

    /// Waits until a method has been called so often.
    pub async fn wait_for_calls(
        &self,
        method: RpcMethod,
        calls: u64,
        within: Duration,
    ) -> Result<(), TimedOut> {
        self.wait_until(within, |node| node.count(method) >= calls)
            .await
    }

    /// Waits until there are so many subscriptions.
    pub async fn wait_for_subscriptions(
        &self,
        subscriptions: usize,
        within: Duration,
    ) -> Result<(), TimedOut> {
        self.wait_until(within, |node| node.subscriptions().len() >= subscriptions)
            .await
    }
}
