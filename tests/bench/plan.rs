//! Which parts are measured, and how thoroughly.

use std::time::Duration;

/// How it is called.
pub const USAGE: &str = "\
usage: bench [--quick] [PART ...]
  measures Quittance on stacks of its own and prints a table for each part:
    pay       paying from balance over HTTP, against pgbench, Rust and the queues of others
    fairness  what one user who floods does to the others
    growth    with ten thousand and many more invoices (asked for alone: ten million), and with 1, 2 and 4 workers
    streams   ten thousand live streams
    watcher   payments on chain
  without a part all of them, in less than ten minutes; with --quick in less than two";

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Paying from balance over HTTP, and what it is compared with.
    Pay,
    /// The others while one user floods.
    Fairness,
    /// Many rows, and several workers.
    Growth,
    /// Live streams.
    Streams,
    /// Payments on chain.
    Watcher,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Pay,
        Self::Fairness,
        Self::Growth,
        Self::Streams,
        Self::Watcher,
    ];

    /// As the command line and the headings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Fairness => "fairness",
            Self::Growth => "growth",
            Self::Streams => "streams",
            Self::Watcher => "watcher",
        }
    }

    /// About how long it takes.
    pub fn time(self, pace: Pace) -> Duration {
        let (quick, otherwise) = match self {
            Self::Pay => (45, 255),
            Self::Fairness => (10, 55),
            Self::Growth => (15, 80),
            Self::Streams => (18, 50),
            Self::Watcher => (22, 50),
        };
        Duration::from_secs(pace.choose(quick, otherwise))
    }
}

/// How much time there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// For a look: all parts in two minutes.
    Quick,
    /// For the record: all parts in ten minutes.
    Full,
    /// For one part that was asked for alone, and has all the time.
    Alone,
}

impl Pace {
    /// The whole run takes no longer.
    pub fn limit(self) -> Duration {
        match self {
            Self::Quick => Duration::from_secs(118),
            Self::Full | Self::Alone => Duration::from_secs(598),
        }
    }

    /// The first choice, or the second when there is more time.
    pub fn choose<T>(self, quick: T, otherwise: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full | Self::Alone => otherwise,
        }
    }
}

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub parts: Vec<Part>,
    /// How thoroughly.
    pub pace: Pace,
}

impl Plan {
    /// What the command line asks for; none when it makes no sense.
    pub fn of(words: &[String]) -> Option<Self> {
        let is_quick = words.iter().any(|word| word == "--quick");
        let named = words.iter().filter(|word| *word != "--quick");
        let parts: Option<Vec<Part>> = named
            .map(|word| Part::ALL.into_iter().find(|part| part.name() == word))
            .collect();
        let parts = parts?;
        let pace = match (is_quick, parts.len()) {
            (true, _) => Pace::Quick,
            (false, 1) => Pace::Alone,
            (false, _) => Pace::Full,
        };
        let parts = if parts.is_empty() {
            Part::ALL.to_vec()
        } else {
            parts
        };
        Some(Self { parts, pace })
    }
}
