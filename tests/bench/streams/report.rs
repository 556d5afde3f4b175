//! The table about live streams.

use std::time::Duration;

use super::delivery::{Delivery, RATE};
use super::scene::Idle;
use crate::measure::{grouped, median, millis, percentile};
use crate::target::{self, Bound, Target};

/// The whole table.
pub fn table(streams: usize, idle: Idle, scattered: &Delivery, to_all: &Delivery) -> String {
    let frames = |delivery: &Delivery, percent| millis(percentile(&delivery.frames, percent));
    let last: Vec<f64> = to_all.last.iter().copied().map(millis).collect();
    let longest = scattered
        .frames
        .iter()
        .copied()
        .max()
        .unwrap_or(Duration::ZERO);
    let rows = [
        plain("memory for each idle stream, KiB", idle.memory_kib),
        plain("processor time of the api, all idle, ms per s", idle.api_ms),
        plain(
            "a random hundred per second: commit to frame, p50, ms",
            frames(scattered, 50),
        ),
        plain("— p99, ms", frames(scattered, 99)),
        plain("— max, ms", millis(longest)),
        plain(
            "— processor time of the api for each payment and its frame, µs",
            scattered.api_us(),
        ),
        plain(
            "to all: commit to the last stream's frame, median, ms",
            median(last.iter().copied()),
        ),
        plain("— max, ms", last.iter().copied().fold(0.0, f64::max)),
        plain(
            "— commit to frame, p50 of all streams, ms",
            frames(to_all, 50),
        ),
        plain("— p99, ms", frames(to_all, 99)),
        plain(
            "— processor time of the api for each frame, µs",
            to_all.api_us(),
        ),
    ];
    let mut lines = vec![
        format!(
            "| with {} streams at one api | measured |",
            grouped(streams)
        ),
        "|---|---:|".to_owned(),
    ];
    lines.extend(rows);
    lines.extend([
        String::new(),
        target::table(&targets(idle, scattered)),
        String::new(),
        format!(
            "First each stream has a user of its own, and {} payments are made at {RATE:.0} per second over HTTP by \
             random ones; then all streams are of one user, who pays {} times.",
            scattered.last.len(),
            to_all.last.len()
        ),
        "A commit's time is Postgres's own (`track_commit_timestamp`), a frame's is when the client has read it; each \
         frame came once, to the streams it belongs to. The clients run on the same cores."
            .to_owned(),
    ]);
    lines.join("\n")
}

fn plain(name: &str, value: f64) -> String {
    format!("| {name} | {value:.1} |")
}

fn targets(idle: Idle, scattered: &Delivery) -> [Target; 2] {
    let target = |measure, reached, must, aim| Target {
        measure,
        reached,
        bound: Bound::AtMost,
        must,
        aim,
    };
    [
        target("memory per idle stream, KiB", idle.memory_kib, 24.0, 10.0),
        target(
            "commit to frame p99, 100 events per second, ms",
            millis(percentile(&scattered.frames, 99)),
            50.0,
            10.0,
        ),
    ]
}
