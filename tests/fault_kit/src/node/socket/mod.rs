//! WebSocket: who listens for what, and who is told.

mod follow;
mod notification;
mod registry;
mod requests;
mod session;
mod subscription;

pub use notification::{Delivery, HeldOrder, Notification, NotificationFault};
pub use registry::{Condition, Sockets};
pub use session::serve;
pub use subscription::{LogsFilter, Subscription, Topic, TopicKind};
