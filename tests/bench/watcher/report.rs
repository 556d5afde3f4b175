//! The table.

use std::time::Duration;

use super::plan::{Load, Plan};
use super::round::Measured;
use crate::measure::{median, millis, number, percentile};

/// With many more invoices no figure may be worse than without by more than this part of it.
const TOLERANCE: f64 = 0.2;
/// A median of fewer rounds is at the mercy of whatever else the machine does.
const ROUNDS_MIN: usize = 3;
const KIB_PER_MIB: f64 = 1_024.0;

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    More,
    Less,
    Neither,
}

/// A line of the table: what is compared, and how it is made from the rounds of one load.
struct Row {
    name: &'static str,
    better: Better,
    decimals: usize,
    figure: fn(&[&Measured]) -> f64,
}

const ROWS: [Row; 13] = [
    Row {
        name: "burst: payments confirmed by the chain, per second",
        better: Better::Neither,
        decimals: 0,
        figure: |rounds| median(rounds.iter().map(|round| round.burst.confirmed)),
    },
    Row {
        name: "burst: invoices paid, per second",
        better: Better::More,
        decimals: 0,
        figure: |rounds| median(rounds.iter().map(|round| round.burst.paid)),
    },
    Row {
        name: "the same from the first paid invoice on",
        better: Better::More,
        decimals: 0,
        figure: |rounds| median(rounds.iter().map(|round| round.burst.flowing)),
    },
    Row {
        name: "steady: confirmed → `invoice_progress`, p50, ms",
        better: Better::Less,
        decimals: 0,
        figure: |rounds| pooled(rounds, progress, 50),
    },
    Row {
        name: "steady: confirmed → `invoice_progress`, p99, ms",
        better: Better::Less,
        decimals: 0,
        figure: |rounds| pooled(rounds, progress, 99),
    },
    Row {
        name: "steady: finalized → `invoice_paid`, p50, ms",
        better: Better::Less,
        decimals: 0,
        figure: |rounds| pooled(rounds, paid, 50),
    },
    Row {
        name: "steady: finalized → `invoice_paid`, p99, ms",
        better: Better::Less,
        decimals: 0,
        figure: |rounds| pooled(rounds, paid, 99),
    },
    Row {
        name: "watcher: memory (RSS), MiB",
        better: Better::Less,
        decimals: 1,
        figure: |rounds| {
            median(
                rounds
                    .iter()
                    .map(|round| count(round.used.memory) / KIB_PER_MIB),
            )
        },
    },
    Row {
        name: "watcher: processor time per payment, ms",
        better: Better::Less,
        decimals: 2,
        figure: |rounds| cost(rounds, |round| millis(round.used.watcher)),
    },
    Row {
        name: "Postgres: processor time per payment, ms",
        better: Better::Less,
        decimals: 2,
        figure: |rounds| cost(rounds, |round| millis(round.used.postgres)),
    },
    Row {
        name: "chain: processor time per payment, ms",
        better: Better::Neither,
        decimals: 2,
        figure: |rounds| cost(rounds, |round| millis(round.used.chain)),
    },
    Row {
        name: "watcher: notifications per payment",
        better: Better::Neither,
        decimals: 2,
        figure: |rounds| cost(rounds, |round| count(round.used.notified)),
    },
    Row {
        name: "watcher: examinations at `confirmed` per payment",
        better: Better::Neither,
        decimals: 2,
        figure: |rounds| cost(rounds, |round| count(round.used.examined)),
    },
];

fn progress(round: &Measured) -> &[Duration] {
    &round.steady.progress
}

fn paid(round: &Measured) -> &[Duration] {
    &round.steady.paid
}

/// A percentile of all payments of all these rounds.
fn pooled(rounds: &[&Measured], of: fn(&Measured) -> &[Duration], percent: usize) -> f64 {
    let all: Vec<Duration> = rounds.iter().flat_map(|round| of(round)).copied().collect();
    millis(percentile(&all, percent))
}

fn cost(rounds: &[&Measured], of: fn(&Measured) -> f64) -> f64 {
    median(rounds.iter().map(|round| round.per_payment(of(round))))
}

fn count(value: u64) -> f64 {
    usize::try_from(value).map_or(f64::INFINITY, number)
}

fn heading(plan: &Plan, load: Load, rounds: usize) -> String {
    let plural = if rounds == 1 { "" } else { "s" };
    format!("{} ({rounds} round{plural})", plan.name(load))
}

/// The whole table, with what must be known to read it.
pub fn table(plan: &Plan, measured: &[Measured]) -> String {
    let of =
        |load| -> Vec<&Measured> { measured.iter().filter(|round| round.load == load).collect() };
    let (small, big) = (of(Load::Small), of(Load::Big));
    let mut lines = vec![
        String::new(),
        format!(
            "| | {} | {} | ratio |",
            heading(plan, Load::Small, small.len()),
            heading(plan, Load::Big, big.len())
        ),
        "|---|---:|---:|---:|".to_owned(),
    ];
    let mut worse = Vec::new();
    for Row {
        name,
        better,
        decimals,
        figure,
    } in &ROWS
    {
        let (without, with) = (figure(&small), figure(&big));
        let ratio = if without > 0.0 {
            with / without
        } else {
            f64::NAN
        };
        lines.push(format!(
            "| {name} | {without:.decimals$} | {with:.decimals$} | {ratio:.2} |"
        ));
        let is_worse = match better {
            Better::More => ratio < 1.0 - TOLERANCE,
            Better::Less => ratio > 1.0 + TOLERANCE,
            Better::Neither => false,
        };
        if is_worse {
            worse.push(*name);
        }
    }
    lines.push(String::new());
    lines.extend(explanation(plan, measured));
    if small.len().min(big.len()) < ROUNDS_MIN {
        lines.push("With so few rounds the ratios are rough.".to_owned());
    }
    lines.push(verdict(&worse));
    lines.join("\n")
}

fn explanation(plan: &Plan, measured: &[Measured]) -> Vec<String> {
    let gaps: Vec<Duration> = measured
        .iter()
        .flat_map(|round| round.steady.gaps.iter().copied())
        .collect();
    let silent: usize = measured.iter().map(|round| round.steady.silent).sum();
    let failures: u64 = measured.iter().map(|round| round.used.failures).sum();
    vec![
        format!(
            "A round: {} payments at once, then {} at {:.0} per second; USDC top-ups, ten of each user.",
            plan.burst,
            plan.steady,
            plan.rate()
        ),
        "Rates and costs are medians over the rounds, percentiles are over the payments of all of them.".to_owned(),
        "Settings are the defaults (histories every 10 s, finality every 1 s, 16 examinations at once), but no reference is \
         looked up by itself: the local chain has no index for that.".to_owned(),
        "The chain has slots of 50 ms, is final after 31, and tells subscribers up to 50 ms late.".to_owned(),
        format!(
            "Resolution: the node was asked every {:.1} ms (p99 {:.1}); events count when Redis delivers them.",
            millis(percentile(&gaps, 50)),
            millis(percentile(&gaps, 99))
        ),
        format!(
            "Steady payments without `invoice_progress`: {silent}. Failed calls and rounds of the watcher: {failures}."
        ),
    ]
}

fn verdict(worse: &[&str]) -> String {
    if worse.is_empty() {
        "With the further invoices no figure is worse by more than 20 %.".to_owned()
    } else {
        format!(
            "With the further invoices these are worse by more than 20 %: {}.",
            worse.join("; ")
        )
    }
}
