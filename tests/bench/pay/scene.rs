//! Who pays at once.

use std::fmt;

/// A number of callers, and whose money they spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scene {
    /// Calls that are open at once.
    pub callers: usize,
    /// Whose.
    pub crowd: Crowd,
}

/// Whose money is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowd {
    /// A thousand users.
    Spread,
    /// One user.
    Hot,
}

/// Users of a spread crowd.
pub const SPREAD: usize = 1_000;

impl Crowd {
    /// As the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spread => "1,000 users",
            Self::Hot => "one hot user",
        }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.callers == 1 { "" } else { "s" };
        write!(
            formatter,
            "{} caller{plural}, {}",
            self.callers,
            self.crowd.name()
        )
    }
}
