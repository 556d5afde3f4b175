//! The tables.

use std::time::Duration;

use super::contest::Results;
use super::scene::{Crowd, Scene};
use super::{CALLERS, PEER_CALLERS};
use crate::load::Run;
use crate::measure::{median, millis, percentile};
use crate::meter::{Costs, Memory};
use crate::peers::Peer;
use crate::target::Bound::{self, AtLeast, AtMost};
use crate::target::{self, Target};

/// The number of callers that rates are promised for.
const MANY: usize = 256;

/// All tables, with what must be known to read them.
pub fn tables(results: &Results) -> String {
    [
        rates(results),
        peers(results),
        target::table(&targets(results)),
        notes(results),
    ]
    .join("\n\n")
}

fn rate<'a>(runs: impl Iterator<Item = &'a Run>) -> f64 {
    median(runs.map(Run::rate))
}

/// A percentile over the payments of all these runs, milliseconds.
fn latency<'a>(runs: impl Iterator<Item = &'a Run>, percent: usize) -> f64 {
    let all: Vec<Duration> = runs.flat_map(|run| run.latencies.iter().copied()).collect();
    millis(percentile(&all, percent))
}

impl Results {
    fn ours_in(&self, scene: Scene) -> impl Iterator<Item = &Run> {
        let found = self.ours.iter().filter(move |(of, ..)| *of == scene);
        found.map(|(_, run, _)| run)
    }

    fn costs_in(&self, scene: Scene) -> Costs {
        let found = self.ours.iter().filter(|(of, ..)| *of == scene);
        let used: Vec<_> = found.map(|(_, _, used)| *used).collect();
        Costs::of(&used)
    }

    fn pgbench_with(&self, crowd: Crowd) -> impl Iterator<Item = &Run> {
        let found = self.pgbench.iter().filter(move |(of, ..)| *of == crowd);
        found.map(|(_, _, run)| run)
    }

    fn direct_in(&self, scene: Scene) -> impl Iterator<Item = &Run> {
        let found = self.direct.iter().filter(move |(of, _)| *of == scene);
        found.map(|(_, run)| run)
    }

    /// The p99 of each run at half of the highest rate, milliseconds.
    fn half_p99s(&self) -> impl Iterator<Item = f64> {
        let runs = self.at_half_rate.iter();
        runs.map(|(_, run)| millis(percentile(&run.latencies, 99)))
    }

    fn peer_with(&self, peer: Peer, callers: usize) -> impl Iterator<Item = &Run> {
        let found = self
            .peers
            .iter()
            .filter(move |(of, with, _)| (*of, *with) == (peer, callers));
        found.map(|(_, _, run)| run)
    }
}

fn rates(results: &Results) -> String {
    let mut lines = vec![
        "| | paid per second | ÷ pgbench | p50 ms | p99 ms | commits per payment | processor µs per payment: api + worker + Postgres + Redis + load |".to_owned(),
        "|---|---:|---:|---:|---:|---:|---|".to_owned(),
    ];
    for crowd in [Crowd::Spread, Crowd::Hot] {
        let limit = rate(results.pgbench_with(crowd));
        for callers in CALLERS {
            let scene = Scene { callers, crowd };
            if results.ours_in(scene).next().is_none() {
                continue;
            }
            let paid = rate(results.ours_in(scene));
            let (p50, p99) = (
                latency(results.ours_in(scene), 50),
                latency(results.ours_in(scene), 99),
            );
            let costs = results.costs_in(scene);
            let parts: Vec<String> = costs
                .processor_us
                .iter()
                .map(|part| format!("{part:.0}"))
                .collect();
            lines.push(format!(
                "| HTTP: {scene} | {paid:.0} | {:.2} | {p50:.2} | {p99:.2} | {:.3} | {} |",
                paid / limit,
                costs.commits,
                parts.join(" + ")
            ));
        }
        let scene = Scene { callers: 1, crowd };
        let direct = rate(results.direct_in(scene));
        lines.push(format!(
            "| one debit, one commit, from Rust: {scene} | {direct:.0} | {:.2} | {:.2} | {:.2} | 1 | |",
            direct / limit,
            latency(results.direct_in(scene), 50),
            latency(results.direct_in(scene), 99)
        ));
        let clients = results.pgbench.iter().find(|(of, ..)| *of == crowd);
        let clients = clients.map_or(0, |(_, clients, _)| *clients);
        lines.push(format!(
            "| one debit, one commit, from pgbench: its best, {clients} clients, {} | {limit:.0} | 1 | | | 1 | |",
            crowd.name()
        ));
    }
    lines.join("\n")
}

fn peers(results: &Results) -> String {
    let mut lines = vec![
        "| the same debit behind | callers | paid per second | p50 ms | HTTP ÷ it, rate | HTTP ÷ it, p50 |".to_owned(),
        "|---|---:|---:|---:|---:|---:|".to_owned(),
    ];
    for peer in Peer::ALL {
        for callers in PEER_CALLERS {
            let scene = Scene {
                callers,
                crowd: Crowd::Spread,
            };
            let runs = || results.peer_with(peer, callers);
            if runs().next().is_none() {
                if results.losers.contains(&peer) {
                    lines.push(format!(
                        "| {} | {callers} | lost a job | | | |",
                        peer.name()
                    ));
                }
                continue;
            }
            let (paid, p50) = (rate(runs()), latency(runs(), 50));
            lines.push(format!(
                "| {} | {callers} | {paid:.0} | {p50:.2} | {:.1} | {:.2} |",
                peer.name(),
                rate(results.ours_in(scene)) / paid,
                latency(results.ours_in(scene), 50) / p50
            ));
        }
    }
    lines.join("\n")
}

fn target(measure: &'static str, reached: f64, bound: Bound, must: f64, aim: f64) -> Target {
    Target {
        measure,
        reached,
        bound,
        must,
        aim,
    }
}

fn targets(results: &Results) -> Vec<Target> {
    let scene = |callers, crowd| Scene { callers, crowd };
    let ours = |callers, crowd| rate(results.ours_in(scene(callers, crowd)));
    let limit = |crowd| rate(results.pgbench_with(crowd));
    let alone = scene(1, Crowd::Spread);
    let idle = latency(results.ours_in(alone), 50);
    let direct = latency(results.direct_in(alone), 50);
    let commits = results.costs_in(scene(MANY, Crowd::Spread)).commits;
    let mut targets = vec![
        target(
            "paid per second at 256 callers ÷ best pgbench",
            ours(MANY, Crowd::Spread) / limit(Crowd::Spread),
            AtLeast,
            1.0,
            2.0,
        ),
        target(
            "the same for one hot user",
            ours(MANY, Crowd::Hot) / limit(Crowd::Hot),
            AtLeast,
            3.0,
            8.0,
        ),
        target(
            "idle p50 over HTTP ÷ that of the direct call",
            idle / direct,
            AtMost,
            4.0,
            2.5,
        ),
        target(
            "p99 at half of the highest rate (median of the runs) ÷ idle p50",
            median(results.half_p99s()) / idle,
            AtMost,
            15.0,
            6.0,
        ),
        target(
            "commits per payment at 256 callers",
            commits,
            AtMost,
            0.05,
            0.02,
        ),
    ];
    targets.extend(against_peers(results, ours(MANY, Crowd::Spread), idle));
    targets
}

fn against_peers(results: &Results, ours: f64, idle: f64) -> [Target; 2] {
    let with = |callers| {
        let measured = move |peer: &Peer| results.peer_with(*peer, callers).next().is_some();
        Peer::ALL.into_iter().filter(measured)
    };
    let rates = with(MANY).map(|peer| rate(results.peer_with(peer, MANY)));
    let idles = with(1).map(|peer| latency(results.peer_with(peer, 1), 50));
    let best_rate = rates.fold(0.0, f64::max);
    let best_idle = idles.fold(f64::INFINITY, f64::min);
    [
        target(
            "paid per second at 256 callers ÷ the best queue's",
            ours / best_rate,
            AtLeast,
            5.0,
            10.0,
        ),
        target(
            "idle p50 ÷ the best queue's",
            idle / best_idle,
            AtMost,
            0.5,
            0.2,
        ),
    ]
}

fn memory(memory: Memory) -> String {
    let mib = |kib: u64| kib / 1024;
    format!(
        "Memory (RSS) after the rounds: api {} MiB, worker {} MiB, Redis {} MiB.",
        mib(memory.api),
        mib(memory.worker),
        mib(memory.redis)
    )
}

fn notes(results: &Results) -> String {
    let commit = median(results.commit_times.iter().map(|time| millis(*time)));
    let rates = median(results.at_half_rate.iter().map(|(rate, _)| *rate));
    let p99s: Vec<String> = results.half_p99s().map(|p99| format!("{p99:.1}")).collect();
    format!(
        "Rates are medians over {} rounds, latencies are over the payments of all of them. A commit of one small row took \
         {commit:.2} ms (p50, one client) before the rounds. Half of the highest rate was {rates:.0} payments per second, \
         each sent at its time, whether the earlier ones were answered or not; their p99 was {} ms, run by run. {}",
        results.commit_times.len(),
        p99s.join(", "),
        results.memory.map(memory).unwrap_or_default(),
    )
}
