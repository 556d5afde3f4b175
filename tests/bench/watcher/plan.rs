//! What is measured, and for how long.

use std::time::Duration;

use crate::measure::grouped;
use crate::plan::Pace;

/// Invoices in the database besides those that are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// None.
    Small,
    /// Many pending ones.
    Big,
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
    /// Pending invoices of a big round besides those that are paid.
    pub further: usize,
    /// In an order in which slow drifts of the machine and of the chain meet both loads alike.
    pub rounds: Vec<Load>,
    /// No round is begun later, unless a load has not had one.
    pub rounds_limit: Duration,
}

impl Plan {
    /// What this pace leaves time for.
    pub fn of(pace: Pace) -> Self {
        use Load::{Big, Small};
        let (burst, steady, further, rounds, seconds) = match pace {
            Pace::Alone => (
                1_000,
                200,
                100_000,
                vec![Small, Big, Big, Small, Small, Big],
                380,
            ),
            Pace::Full => (300, 80, 100_000, vec![Small, Big], 60),
            Pace::Quick => (60, 20, 10_000, vec![Small, Big], 15),
        };
        Self {
            burst,
            steady,
            further,
            interval: Duration::from_millis(100),
            rounds,
            rounds_limit: Duration::from_secs(seconds),
        }
    }

    /// What the table calls a load.
    pub fn name(&self, load: Load) -> String {
        match load {
            Load::Small => "no further invoices".to_owned(),
            Load::Big => format!("{} further pending", grouped(self.further)),
        }
    }

    /// Steady payments per second.
    pub fn rate(&self) -> f64 {
        1.0 / self.interval.as_secs_f64()
    }
}
