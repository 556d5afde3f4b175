//! How a node behaves when no fault hits.

use solana_signature::Signature;
use solana_transaction_error::TransactionError;

/// What `getSignaturesForAddress` does with a `before` or `until` that the node does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownSignature {
    /// -32020, as agave 4.2 does.
    #[default]
    Refuse,
    /// All rows for `until`, none for `before`, as local chains do.
    AllRows,
    /// The newest rows for both, as old nodes do.
    Newest,
}

/// What `sendTransaction` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sending {
    /// Answers the signature; a prepared transaction lands in the newest block.
    #[default]
    Deliver,
    /// Answers the signature, and nothing lands.
    Swallow,
    /// Delivers, and answers another signature.
    AnswerOther(Signature),
}

/// What `simulateTransaction` and the check before sending find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// Why it would fail.
    pub err: Option<TransactionError>,
    /// What programs would say.
    pub logs: Vec<String>,
    /// What it would cost.
    pub units: u64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            err: None,
            logs: Vec::new(),
            units: 6_200,
        }
    }
}

/// What happens to new sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handshakes {
    /// They are taken.
    #[default]
    Accept,
    /// They get an HTTP status, with `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// The connection is dropped.
    Drop,
    /// The connection stays, and nothing is said.
    Hang,
}

/// What `getHealth` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// All is well.
    #[default]
    Well,
    /// -32005, without a reason.
    Unhealthy,
    /// -32005, because the node is so many slots behind.
    Behind(u64),
}

/// Everything that a test sets once.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub unknown_signature: UnknownSignature,
    pub sending: Sending,
    pub simulation: Simulation,
    pub handshakes: Handshakes,
    pub health: Health,
}
