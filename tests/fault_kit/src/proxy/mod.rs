//! A network that misbehaves: a TCP proxy in front of anything.

mod handle;
mod plan;
mod port;
mod relay;

pub use handle::{FaultProxy, Traffic};
pub use plan::{Direction, Mode};
