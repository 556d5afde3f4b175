//! What the proxy does to connections.

use std::time::Duration;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What becomes of connections, those that are open too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They work.
    #[default]
    Pass,
    /// They are taken and kept, and nothing comes through: no bytes, no end.
    Freeze,
    /// They are closed; new ones as soon as they are made.
    Drop,
    /// They are reset; new ones as soon as they are made.
    Reset,
    /// Open ones go on; new ones find nobody listening.
    Refuse,
}

/// One direction of the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lane {
    pub delay: Duration,
    /// Every connection is cut when so many bytes of its own have passed.
    pub cut_after: Option<u64>,
}

/// The whole plan, which connections follow as it changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plan {
    pub mode: Mode,
    pub to_server: Lane,
    pub to_client: Lane,
    /// Connections that were made before this change end with a reset or a close.
    pub ended: Ended,
}

/// How many connections there were when the test last ended all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    pub below: u64,
    pub by_reset: bool,
}

/// How a connection ends at the proxy's hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Close,
    Reset,
}

impl Plan {
    pub const fn lane(&self, direction: Direction) -> Lane {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    pub const fn lane_mut(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Whether a connection has to end, and how.
    pub const fn end(&self, connection: u64) -> Option<End> {
        match self.mode {
            Mode::Drop => Some(End::Close),
            Mode::Reset => Some(End::Reset),
            _ if connection >= self.ended.below => None,
            _ if self.ended.by_reset => Some(End::Reset),
            _ => Some(End::Close),
        }
    }
}
