//! How nodes fail, beyond what they see and say.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fault_kit::{Call, FakeChain, FakeNode, Fault, Reply, RpcMethod};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// The ways to fail that pass.
const FAILURES: [&str; 6] = ["503", "429", "unhealthy", "garbage", "hang", "nonsense"];
const UNSUPPORTED_VERSION: i64 = -32_015;
const UNHEALTHY: i64 = -32_005;

/// What ails a node.
#[derive(Debug)]
struct Mood {
    rng: StdRng,
    failure: Option<&'static str>,
    /// Of a hundred calls.
    failing: u32,
    /// What it says it cannot read.
    unreadable: HashSet<String>,
}

/// A node, and the test's hold on its failures.
#[derive(Clone)]
pub struct Hand {
    /// The node.
    pub node: FakeNode,
    mood: Arc<Mutex<Mood>>,
}

impl Hand {
    /// A node that is well.
    pub fn on(chain: &FakeChain, seed: u64) -> Self {
        let node = FakeNode::unserved(chain);
        let mood = Arc::new(Mutex::new(Mood {
            rng: StdRng::seed_from_u64(seed),
            failure: None,
            failing: 0,
            unreadable: HashSet::new(),
        }));
        let own = Arc::clone(&mood);
        node.fault(Fault::on_any().reply_with(move |call| locked(&own).reply(call)));
        Self { node, mood }
    }

    /// Fails some way, more or less often.
    pub fn fail(&self, rng: &mut StdRng) -> String {
        let mut mood = locked(&self.mood);
        let failure = FAILURES[rng.random_range(0..FAILURES.len())];
        mood.failing = [10, 33, 100][rng.random_range(0..3)];
        mood.failure = Some(failure);
        format!("fails {} of 100 by {failure}", mood.failing)
    }

    /// Answers everything again.
    pub fn recover(&self) {
        let mut mood = locked(&self.mood);
        mood.failure = None;
        mood.unreadable.clear();
    }

    /// Says that it cannot read a transaction.
    pub fn cannot_read(&self, signature: &impl ToString) {
        locked(&self.mood).unreadable.insert(signature.to_string());
    }

    /// Sees all there is and says what it sees.
    pub fn heal(&self) {
        self.recover();
        self.node.be_honest();
        self.node.look(|view| *view = fault_kit::View::default());
    }
}

fn locked(mood: &Mutex<Mood>) -> MutexGuard<'_, Mood> {
    mood.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mood {
    fn reply(&mut self, call: &Call) -> Reply {
        if let Some(failure) = self.failure
            && self.rng.random_range(0..100) < self.failing
        {
            return match failure {
                "503" => Reply::Http {
                    status: 503,
                    retry_after: None,
                },
                "429" => Reply::too_many_requests(1),
                "unhealthy" => Reply::error(UNHEALTHY, "Node is unhealthy"),
                "garbage" => Reply::Garbage("<html>".to_owned()),
                "hang" => Reply::Hang,
                _ => Reply::Value(json!({ "value": "nonsense" })),
            };
        }
        let is_unreadable = call.method == RpcMethod::GetTransaction.name()
            && call.params[0]
                .as_str()
                .is_some_and(|signature| self.unreadable.contains(signature));
        if is_unreadable {
            return Reply::error(
                UNSUPPORTED_VERSION,
                "Transaction version (1) is not supported",
            );
        }
        Reply::PassThrough
    }
}
