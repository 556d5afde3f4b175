//! What one user who floods does to the others: their latency beside the flood, and alone.

use std::time::Duration;

use crate::failure::BenchError;
use crate::ground::{Ground, SEGMENTS};
use crate::load::{Requests, Run, open, pay_closed};
use crate::measure::{median, millis, percentile, whole};
use crate::plan::Pace;
use crate::screen::say;
use crate::stock::Stock;
use crate::target::{self, Bound, Target};

const WARM_UP: Duration = Duration::from_millis(500);
/// The others: so many users, who pay so often together, each call at its time.
const OTHERS: usize = 1_000;
const OTHERS_PER_SECOND: f64 = 300.0;
/// Calls of the one that are open at once.
const FLOOD: usize = 256;
/// More than the one can pay per second.
const FLOOD_MAX: usize = 10_000;

struct Round {
    alone: Run,
    beside: Run,
    flood: Run,
}

/// Measures both in turns; returns the table.
pub async fn run(pace: Pace) -> Result<String, BenchError> {
    let ground = Ground::start(SEGMENTS).await?;
    let deployment = ground.deployment().start().await?;
    let stock = Stock::new(deployment.pool().clone(), 1);
    let (others, hot) = (stock.payers(OTHERS).await?, stock.payers(1).await?);
    let time = Duration::from_secs(pace.choose(2, 4));
    let count = whole(OTHERS_PER_SECOND * time.as_secs_f64());
    let warm_up = whole(OTHERS_PER_SECOND * WARM_UP.as_secs_f64());
    let api = deployment.api(0);
    let mut rounds = Vec::new();
    // The first round is warm-up, unless there is no time for it.
    for round in pace.choose(1, 0)..=pace.choose(1, 3) {
        let dues = stock.invoices(&others, count).await?;
        let quiet = Requests::prepare(api, &others, &dues)?;
        let dues = stock.invoices(&others, count).await?;
        let loud = Requests::prepare(api, &others, &dues)?;
        let seconds = whole(time.as_secs_f64());
        let dues = stock.invoices(&hot, FLOOD_MAX * seconds).await?;
        let flood = Requests::prepare(api, &hot, &dues)?;
        stock.settle_down().await?;
        let alone = open(quiet, OTHERS_PER_SECOND, warm_up).await?;
        let (beside, flood) = tokio::try_join!(
            open(loud, OTHERS_PER_SECOND, warm_up),
            pay_closed(flood, FLOOD, time)
        )?;
        say(&format!(
            "p99 alone {:.1} ms, beside {:.0} payments per second of one user {:.1} ms",
            millis(percentile(&alone.latencies, 99)),
            flood.rate(),
            millis(percentile(&beside.latencies, 99)),
        ));
        if round > 0 {
            rounds.push(Round {
                alone,
                beside,
                flood,
            });
        }
    }
    say("auditing the books ...");
    deployment.finish().await?;
    Ok(table(&rounds))
}

fn latency(rounds: &[Round], of: fn(&Round) -> &Run, percent: usize) -> f64 {
    let runs = rounds.iter().map(of);
    let all: Vec<Duration> = runs.flat_map(|run| run.latencies.iter().copied()).collect();
    millis(percentile(&all, percent))
}

fn table(rounds: &[Round]) -> String {
    let row = |name, of: fn(&Round) -> &Run| {
        let rate = median(rounds.iter().map(|round| of(round).rate()));
        let (p50, p99) = (latency(rounds, of, 50), latency(rounds, of, 99));
        format!("| {name} | {rate:.0} | {p50:.2} | {p99:.2} |")
    };
    let reached =
        latency(rounds, |round| &round.beside, 99) / latency(rounds, |round| &round.alone, 99);
    [
        "| | paid per second | p50 ms | p99 ms |".to_owned(),
        "|---|---:|---:|---:|".to_owned(),
        row("1,000 users, each call at its time, alone", |round| {
            &round.alone
        }),
        row("the same beside the flood", |round| &round.beside),
        row(
            "the flood: one user, 256 calls open at once, no rate limit",
            |round| &round.flood,
        ),
        String::new(),
        target::table(&[Target {
            measure: "p99 of the others beside the flood ÷ alone",
            reached,
            bound: Bound::AtMost,
            must: 3.0,
            aim: 3.0,
        }]),
    ]
    .join("\n")
}
