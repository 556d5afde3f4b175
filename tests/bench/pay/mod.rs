//! Paying from balance over HTTP, beside the debit alone (pgbench, Rust) and beside the queues of others.

mod calibration;
mod contest;
mod direct;
mod pgbench;
mod report;
mod scene;

use std::time::Duration;

use self::contest::{Contest, Results};
use self::scene::{Crowd, Scene};
use crate::failure::BenchError;
use crate::ground::Ground;
use crate::peers::Peer;
use crate::plan::Pace;
use crate::screen::say;

const CALLERS: [usize; 4] = [1, 32, 256, 1_024];
const CALLERS_QUICK: [usize; 2] = [1, 256];
/// Callers of the queues of others: alone, and as many as our own rate is told for.
const PEER_CALLERS: [usize; 2] = [1, 256];
/// Where pgbench is at its best is looked for among these.
const CLIENTS: [usize; 4] = [1, 4, 8, 16];
const CLIENTS_TIME: Duration = Duration::from_secs(1);
/// Runs at half of the highest rate in each round: what happens once in a while is to be seen, and not to decide.
const HALF_RATE_RUNS: usize = 2;
/// Rounds in which the queues of others take part.
const PEER_ROUNDS: usize = 2;

/// Measures everything in interleaved rounds; returns the tables.
pub async fn run(pace: Pace) -> Result<String, BenchError> {
    let ground = Ground::start(pace.choose(24, 96)).await?;
    let deployment = ground.deployment().start().await?;
    let mut contest = Contest::prepare(&ground, &deployment).await?;
    let time = Duration::from_secs(pace.choose(1, 2));
    for crowd in [Crowd::Spread, Crowd::Hot] {
        // For a look, where it usually is.
        let usual = match crowd {
            Crowd::Spread => &[8][..],
            Crowd::Hot => &[1][..],
        };
        let clients = pace.choose(usual, &CLIENTS[..]);
        contest.find_clients(crowd, clients, CLIENTS_TIME).await?;
    }
    let mut results = Results::default();
    let rounds = match pace {
        Pace::Quick => 1,
        Pace::Full => 2,
        Pace::Alone => 3,
    };
    for round in 1..=rounds {
        contest.begin_round(&mut results).await?;
        for crowd in [Crowd::Spread, Crowd::Hot] {
            contest.pgbench(crowd, time, &mut results).await?;
            for &callers in pace.choose(&CALLERS_QUICK[..], &CALLERS[..]) {
                let scene = Scene { callers, crowd };
                contest.ours(scene, time, &mut results).await?;
                if callers == 1 {
                    contest.direct(scene, time, &mut results).await?;
                }
            }
        }
        for _ in 0..pace.choose(1, HALF_RATE_RUNS) {
            contest.at_half_rate(time, &mut results).await?;
        }
        let peers = if round > PEER_ROUNDS {
            &[][..]
        } else {
            pace.choose(&Peer::QUICK[..], &Peer::ALL[..])
        };
        for peer in peers {
            for callers in PEER_CALLERS {
                contest.peer(*peer, callers, time, &mut results).await?;
            }
        }
        say(&format!("round {round} of {rounds} is over"));
    }
    contest.weigh(&mut results)?;
    drop(contest);
    say("auditing the books ...");
    deployment.finish().await?;
    Ok(report::tables(&results))
}
