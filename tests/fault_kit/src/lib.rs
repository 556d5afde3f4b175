//! A scripted Solana node and a faulty network, for what a local chain cannot do.
//!
//! [`FakeChain`] is a chain in memory that the test moves; any number of [`FakeNode`]s report it over
//! JSON-RPC and WebSocket, each with its own [`View`] and its own faults. A [`FaultProxy`] spoils the
//! connections to anything.

pub mod chain;
pub mod node;
pub mod proxy;
pub mod transaction;

pub use chain::{Commitment, FakeAccount, FakeChain, Lie, Ticker, View};
pub use node::{
    Call, Delivery, DirectLine, FakeNode, Fault, Handshakes, Health, HeldOrder, NotificationFault,
    Reply, RpcFailure, RpcMethod, Sending, Simulation, TopicKind, UnknownSignature,
};
pub use proxy::{Direction, FaultProxy, Mode, Traffic};
pub use transaction::{
    FakeTransaction, NewTokenAccount, TokenHolding, TokenTransfer, TransactionBuilder, Version,
};
