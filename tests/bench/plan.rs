//! What is measured, and for how long.

use std::time::Duration;

/// How it is called.
pub const USAGE: &str = "\
usage: bench [--quick]
  measures the watcher on a stack of its own; takes less than eight minutes, with --quick less than two";

/// Invoices in the database besides those that are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// None.
    Small,
    /// [`FURTHER`] pending ones.
    Big,
}

/// Pending invoices of a big round besides those that are paid.
pub const FURTHER: usize = 100_000;

impl Load {
    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "no further invoices",
            Self::Big => "100,000 further pending",
        }
    }
}

/// The measurements of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Payments of a burst.
    pub burst: usize,
    /// Payments of the steady part, and the time from one to the next.
    pub steady: usize,
    /// The time from one steady payment to the next.
    pub interval: Duration,
    /// In an order in which slow drifts of the machine and of the chain meet both loads alike.
    pub rounds: Vec<Load>,
    /// No round is begun later, unless a load has not had one.
    pub rounds_limit: Duration,
    /// The whole run takes no longer.
    pub limit: Duration,
}

impl Plan {
    /// What the command line asks for; none when it makes no sense.
    pub fn of(words: &[String]) -> Option<Self> {
        use Load::{Big, Small};
        match words {
            [] => Some(Self {
                burst: 1_000,
                steady: 200,
                interval: Duration::from_millis(100),
                rounds: vec![Small, Big, Big, Small, Small, Big, Big, Small],
                rounds_limit: Duration::from_secs(380),
                limit: Duration::from_secs(475),
            }),
            [word] if word == "--quick" => Some(Self {
                burst: 300,
                steady: 80,
                interval: Duration::from_millis(100),
                rounds: vec![Small, Big],
                rounds_limit: Duration::from_mins(1),
                limit: Duration::from_secs(118),
            }),
            _ => None,
        }
    }

    /// Steady payments per second.
    pub fn rate(&self) -> f64 {
        1.0 / self.interval.as_secs_f64()
    }
}
