//! A thousand schedules, or as many as one likes.

use std::env;
use std::fmt::Write;
use std::time::Instant;

use rand::RngExt;

use crate::checks::Violations;
use crate::driver::Driver;
use crate::ground::Ground;

const SCHEDULES: u64 = 1_000;
const STEPS: usize = 50;
/// How many failures are shown before the rest is left.
const FAILURES_MAX: usize = 5;

/// A schedule that went wrong.
struct Failure {
    seed: u64,
    trace: Vec<String>,
    wrong: Violations,
}

#[tokio::test]
async fn nothing_final_is_lost_or_credited_twice_or_over_a_disagreement() {
    let (first, count) = wanted();
    println!("{count} schedules from QUITTANCE_SCHEDULE_SEED={first} on");
    let ground = Ground::open().await;
    let began = Instant::now();
    let mut failures = Vec::new();
    for seed in first..first + count {
        failures.extend(run(&ground, seed).await);
        if failures.len() >= FAILURES_MAX {
            break;
        }
    }
    println!(
        "{:?} for each",
        began.elapsed() / u32::try_from(count).unwrap()
    );
    assert!(failures.is_empty(), "{}", told(&failures));
    ground.close().await;
}

/// The first seed, and how many: the same thousand each time, so that a change is at fault when one goes wrong; others on
/// request; or one of them again.
fn wanted() -> (u64, u64) {
    let many = number("QUITTANCE_SCHEDULES");
    match env::var("QUITTANCE_SCHEDULE_SEED").as_deref() {
        Err(_) => (0, many.unwrap_or(SCHEDULES)),
        Ok("random") => {
            let first = rand::rng().random_range(0..u64::MAX / 2);
            (first, many.unwrap_or(SCHEDULES))
        }
        Ok(seed) => (seed.parse().unwrap(), many.unwrap_or(1)),
    }
}

async fn run(ground: &Ground, seed: u64) -> Option<Failure> {
    let mut driver = Driver::new(ground, seed).await;
    let mut wrong = Vec::new();
    for _ in 0..STEPS {
        wrong.extend(driver.step().await);
        if !wrong.is_empty() {
            break;
        }
    }
    if wrong.is_empty() {
        wrong = driver.end().await;
    }
    (!wrong.is_empty()).then_some(Failure {
        seed,
        trace: driver.world.trace,
        wrong,
    })
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn told(failures: &[Failure]) -> String {
    let mut text = String::new();
    for failure in failures {
        writeln!(text, "\nQUITTANCE_SCHEDULE_SEED={}", failure.seed).unwrap();
        for line in &failure.trace {
            writeln!(text, "    {line}").unwrap();
        }
        for line in &failure.wrong {
            writeln!(text, "  WRONG: {line}").unwrap();
        }
    }
    text
}
