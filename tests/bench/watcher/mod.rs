//! The watcher's part: payments per second, how soon they are told, and what 100,000 further pending invoices change
//! about that.
//!
//! It starts a stack of its own (one api, one worker, one watcher, Postgres, Redis and a chain), measures it in rounds
//! without and with the many invoices, and audits the books.

mod bill;
mod burst;
mod heard;
mod node;
mod payer;
mod pending;
mod plan;
mod report;
mod round;
mod steady;
mod vitals;

use std::time::Instant;

use stack::Deployment;

use self::plan::{Load, Plan};
use self::round::{Bench, Measured};
use crate::failure::BenchError;
use crate::plan::Pace;
use crate::screen::say;

/// Measures the watcher; returns its table.
pub async fn run(pace: Pace) -> Result<String, BenchError> {
    let plan = Plan::of(pace);
    let begin = Instant::now();
    let deployment = Deployment::builder()
        .private_postgres()
        .private_redis()
        .private_chain()
        // The local chain reads all its transactions for each of them, and keeps no block meanwhile; a node has an index.
        .env("QUITTANCE_WATCH_REFERENCES_PER_SECOND", "0")
        .start()
        .await?;
    let mut bench = Bench::prepare(&deployment, &plan).await?;
    say("warming up ...");
    bench.warm_up().await?;
    let mut measured = Vec::new();
    for (place, load) in plan.rounds.iter().enumerate() {
        if begin.elapsed() > plan.rounds_limit && has_both(&measured) {
            let left_out = plan.rounds.len() - place;
            say(&format!("{left_out} rounds are left out: time is up"));
            break;
        }
        bench.become_loaded(*load, plan.further).await?;
        let round = bench.round(*load).await?;
        say(&format!(
            "round {} of {}, {}: {round}",
            place + 1,
            plan.rounds.len(),
            plan.name(*load)
        ));
        measured.push(round);
    }
    drop(bench);
    say("auditing the books ...");
    deployment.finish().await?;
    Ok(report::table(&plan, &measured))
}

fn has_both(measured: &[Measured]) -> bool {
    [Load::Small, Load::Big]
        .iter()
        .all(|load| measured.iter().any(|round| round.load == *load))
}
