//! A node that reports a fake chain over JSON-RPC and WebSocket.

mod core;
mod direct;
mod dispatch;
mod failure;
mod fault;
mod handle;
mod http;
mod lies;
mod method;
mod methods;
mod params;
mod settings;
mod socket;

pub use direct::DirectLine;
pub use failure::{INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, PARSE_ERROR, RpcFailure};
pub use fault::{Call, Fault, Reply};
pub use handle::{FakeNode, TimedOut};
pub use method::RpcMethod;
pub use settings::{Handshakes, Health, Sending, Simulation, UnknownSignature};
pub use socket::{
    Delivery, HeldOrder, LogsFilter, Notification, NotificationFault, Subscription, Topic,
    TopicKind,
};
