//! Faults in answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{RpcFailure, RpcMethod};

/// One request that reached the node.
#[derive(Debug, Clone)]
pub struct Call {
    /// The name as it was asked for.
    pub method: String,
    /// The parameters.
    pub params: Value,
    /// The how-manieth call of this method it is, from 1.
    pub number: u64,
    /// When it arrived.
    pub at: Instant,
    /// The socket it came from, when it came from one.
    pub socket: Option<u64>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The true answer, unless a later fault says otherwise.
    PassThrough,
    /// Whatever the method says when it knows nothing: null, a list of nulls, an empty list.
    Null,
    /// This result.
    Value(Value),
    /// This error.
    Error(RpcFailure),
    /// An HTTP status, with `Retry-After` in seconds; on a socket, the connection is dropped.
    Http {
        /// The status.
        status: u16,
        /// Seconds to wait.
        retry_after: Option<u64>,
    },
    /// These bytes instead of JSON.
    Garbage(String),
    /// Waits, then goes on as with [`Reply::PassThrough`].
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Drops the connection instead of answering.
    Disconnect,
}

impl Reply {
    /// An error with this code.
    #[must_use]
    pub fn error(code: i64, message: &str) -> Self {
        Self::Error(RpcFailure::new(code, message))
    }

    /// 429 with `Retry-After`.
    #[must_use]
    pub const fn too_many_requests(retry_after: u64) -> Self {
        Self::Http {
            status: 429,
            retry_after: Some(retry_after),
        }
    }
}

type Condition = Arc<dyn Fn(&Call) -> bool + Send + Sync>;
type Hook = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

/// A fault: which calls it hits, and what becomes of them.
#[derive(Clone)]
pub struct Fault {
    method: Option<RpcMethod>,
    condition: Option<Condition>,
    skip: u64,
    times: Option<u64>,
    hook: Hook,
    met: Arc<AtomicU64>,
}

impl Fault {
    /// Hits every call of a method, until it is narrowed.
    #[must_use]
    pub fn on(method: RpcMethod) -> Self {
        Self::new(Some(method))
    }

    /// Hits every call of any method.
    #[must_use]
    pub fn on_any() -> Self {
        Self::new(None)
    }

    fn new(method: Option<RpcMethod>) -> Self {
        Self {
            method,
            condition: None,
            skip: 0,
            times: None,
            hook: Arc::new(|_| Reply::PassThrough),
            met: Arc::default(),
        }
    }

    /// Only calls for which this holds; the numbers below count these.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Only calls whose parameters contain this text, such as a signature or a key.
    #[must_use]
    pub fn mentioning(self, text: &impl ToString) -> Self {
        let text = text.to_string();
        self.when(move |call| call.params.to_string().contains(&text))
    }

    /// Lets this many calls pass first.
    #[must_use]
    pub const fn after(mut self, calls: u64) -> Self {
        self.skip = calls;
        self
    }

    /// Ends after so many hits.
    #[must_use]
    pub const fn first(mut self, calls: u64) -> Self {
        self.times = Some(calls);
        self
    }

    /// What becomes of them.
    #[must_use]
    pub fn reply(self, reply: Reply) -> Self {
        self.reply_with(move |_| reply.clone())
    }

    /// What becomes of each. It may use the node and the chain.
    #[must_use]
    pub fn reply_with(mut self, hook: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        self.hook = Arc::new(hook);
        self
    }

    /// What it does to a call.
    pub(crate) fn apply(&self, call: &Call) -> Reply {
        let other = self
            .method
            .is_some_and(|method| method.name() != call.method);
        let exempt = |condition: &Condition| !condition(call);
        if other || self.condition.as_ref().is_some_and(exempt) {
            return Reply::PassThrough;
        }
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        let over = self.times.is_some_and(|times| met >= self.skip + times);
        if met < self.skip || over {
            return Reply::PassThrough;
        }
        (self.hook)(call)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fault")
            .field("method", &self.method)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}
