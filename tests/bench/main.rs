//! The benchmark: Quittance measured beside what it is compared with, in interleaved rounds on private servers.
//!
//! Ratios within one run are the result; absolute figures are context.

mod debit;
mod failure;
mod fairness;
mod ground;
mod growth;
mod load;
mod measure;
mod meter;
mod pay;
mod peers;
mod plan;
mod processes;
mod screen;
mod stock;
mod streams;
mod target;
mod watcher;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::BenchError;
use crate::plan::{Pace, Part, Plan, USAGE};
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
    let limit = plan.pace.limit();
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
    say(&format!("machine: {}", processes::machine()));
    for part in &plan.parts {
        let left = plan.pace.limit().saturating_sub(begin.elapsed());
        if plan.parts.len() > 1 && left < part.time(plan.pace) {
            say(&format!("{} is left out: time is up", part.name()));
            continue;
        }
        say(&format!("measuring: {} ...", part.name()));
        let part_begin = Instant::now();
        let table = Box::pin(measure_part(*part, plan.pace)).await?;
        say(&format!("\n### {}\n\n{table}\n", part.name()));
        say(&format!(
            "This part took {} s.",
            rounded(part_begin.elapsed())
        ));
    }
    say(&format!("\nAll this took {} s.", rounded(begin.elapsed())));
    Ok(())
}

async fn measure_part(part: Part, pace: Pace) -> Result<String, BenchError> {
    match part {
        Part::Pay => pay::run(pace).await,
        Part::Fairness => fairness::run(pace).await,
        Part::Growth => Box::pin(growth::run(pace)).await,
        Part::Streams => streams::run(pace).await,
        Part::Watcher => watcher::run(pace).await,
    }
}

fn rounded(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_millis() >= 500)
}
