//! Rates, percentiles and medians.

use std::time::Duration;

/// So many in this time, per second.
pub fn per_second(count: usize, time: Duration) -> f64 {
    number(count) / time.as_secs_f64().max(f64::EPSILON)
}

/// A count as a float; the counts here are small.
pub fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// In milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The least value that so many percent of the values do not exceed; zero of none.
pub fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The middle value, or the mean of the two middle ones; zero of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2);
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2);
    lower
        .zip(upper)
        .map_or(0.0, |(lower, upper)| f64::midpoint(*lower, *upper))
}

/// Rounded up to a whole number; the counts here are small.
pub fn whole(value: f64) -> usize {
    format!("{:.0}", value.ceil().max(0.0))
        .parse()
        .unwrap_or_default()
}

/// With commas.
pub fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}
