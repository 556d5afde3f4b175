//! Live streams (contract §5): a snapshot, then only what is newer, in order and without a gap.

mod follow;
mod position;
mod registry;
mod subject;

pub use registry::Streams;
pub use subject::Subject;
