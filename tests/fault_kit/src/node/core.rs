//! The node itself, behind its two servers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use solana_signature::Signature;
use tokio::sync::watch;

use super::fault::{Call, Fault, Reply};
use super::settings::Settings;
use super::socket::Sockets;
use crate::chain::{FakeChain, Observer, State, View};

/// A node: its chain, and what is its own.
pub struct Core {
    pub chain: FakeChain,
    inner: Mutex<Inner>,
    activity: watch::Sender<u64>,
}

/// What is the node's own. Whoever locks the chain too locks it first.
#[derive(Default)]
pub struct Inner {
    pub view: View,
    pub settings: Settings,
    pub sockets: Sockets,
    pub calls: Vec<Call>,
    pub sent: Vec<Vec<u8>>,
    pub connections: usize,
    pub turned_away: u64,
    counts: HashMap<String, u64>,
    faults: Vec<Fault>,
}

impl Core {
    pub fn new(chain: FakeChain) -> Self {
        Self {
            chain,
            inner: Mutex::default(),
            activity: watch::Sender::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for the node.
    pub fn stir(&self) {
        self.activity.send_modify(|count| *count += 1);
    }

    pub fn activity(&self) -> watch::Receiver<u64> {
        self.activity.subscribe()
    }

    pub fn record(&self, method: &str, params: Value, socket: Option<u64>) -> Call {
        let mut inner = self.lock();
        let count = inner.counts.entry(method.to_owned()).or_default();
        *count += 1;
        let call = Call {
            method: method.to_owned(),
            params,
            number: *count,
            at: Instant::now(),
            socket,
        };
        inner.calls.push(call.clone());
        drop(inner);
        self.stir();
        call
    }

    pub fn count(&self, method: &str) -> u64 {
        self.lock().counts.get(method).copied().unwrap_or(0)
    }

    pub fn add_fault(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// The first fault that has something to say, after all delays before it.
    pub async fn decide(&self, call: &Call) -> Reply {
        let faults = self.lock().faults.clone();
        for fault in faults {
            match fault.apply(call) {
                Reply::PassThrough => {}
                Reply::Delay(delay) => tokio::time::sleep(delay).await,
                reply => return reply,
            }
        }
        Reply::PassThrough
    }

    /// Changes what the node sees, and tells its subscribers.
    pub fn look(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.lock().view.clone();
        change(&mut view);
        let state = self.chain.lock();
        let mut inner = self.lock();
        inner.view = view;
        inner.sockets.look_again();
        inner.follow(&state, &[]);
        drop(inner);
        self.stir();
    }

    /// Sees what is there already.
    pub fn catch_up(&self) {
        let state = self.chain.lock();
        let known: Vec<Signature> = state.ledger.signatures().copied().collect();
        self.lock().follow(&state, &known);
    }
}

impl Inner {
    fn follow(&mut self, state: &State, touched: &[Signature]) {
        let Self { view, sockets, .. } = self;
        sockets.follow(view, state, touched);
    }
}

impl Observer for Core {
    fn changed(&self, state: &State, touched: &[Signature]) {
        self.lock().follow(state, touched);
        self.stir();
    }
}
