//! The watcher's benchmark: payments per second, how soon they are told, and what 100,000 further pending invoices
//! change about that.
//!
//! It starts a stack of its own (one api, one worker, one watcher, Postgres, Redis and a chain), measures it in rounds
//! without and with the many invoices, audits the books, and prints one table.

mod bill;
mod burst;
mod failure;
mod heard;
mod measure;
mod node;
mod payer;
mod pending;
mod plan;
mod report;
mod round;
mod screen;
mod steady;
mod vitals;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stack::Deployment;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::BenchError;
use crate::plan::{Load, Plan, USAGE};
use crate::round::{Bench, Measured};
use crate::screen::{complain, say};

const FAILED: u8 = 1;
const MISUSED: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let Some(plan) = Plan::of(&words) else {
        complain(USAGE);
        return ExitCode::from(MISUSED);
    };
    let limit = plan.limit;
    // Dropped futures end what they started, so that nothing is left behind.
    let outcome = tokio::select! {
        outcome = run(&plan) => outcome,
        () = tokio::time::sleep(limit) => Err(BenchError::TooLong(limit)),
        interrupted = interrupted() => interrupted,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Waits for Ctrl-C or a polite kill.
async fn interrupted() -> Result<(), BenchError> {
    let listen = |kind| signal(kind).map_err(BenchError::Signals);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Err(BenchError::Interrupted)
}

async fn run(plan: &Plan) -> Result<(), BenchError> {
    let begin = Instant::now();
    say(&format!("machine: {}", vitals::machine()));
    say("starting a stack of its own ...");
    let deployment = Deployment::builder()
        .private_postgres()
        .private_redis()
        .private_chain()
        .start()
        .await?;
    let mut bench = Bench::prepare(&deployment, plan).await?;
    say("warming up ...");
    bench.warm_up().await?;
    let mut measured = Vec::new();
    for (place, load) in plan.rounds.iter().enumerate() {
        if begin.elapsed() > plan.rounds_limit && has_both(&measured) {
            let left_out = plan.rounds.len() - place;
            say(&format!("{left_out} rounds are left out: time is up"));
            break;
        }
        bench.become_loaded(*load).await?;
        let round = bench.round(*load).await?;
        say(&format!(
            "round {} of {}, {}: {round}",
            place + 1,
            plan.rounds.len(),
            load.name()
        ));
        measured.push(round);
    }
    drop(bench);
    say("auditing the books ...");
    deployment.finish().await?;
    say(&report::table(plan, &measured));
    say(&format!(
        "The books are right. All this took {} s.",
        rounded(begin.elapsed())
    ));
    Ok(())
}

fn has_both(measured: &[Measured]) -> bool {
    [Load::Small, Load::Big]
        .iter()
        .all(|load| measured.iter().any(|round| round.load == *load))
}

fn rounded(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_millis() >= 500)
}
