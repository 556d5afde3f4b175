//! The part about live streams: what thousands of them at one api cost, and how soon they tell of a payment.

mod chunks;
mod delivery;
mod descriptors;
mod fleet;
mod report;
mod scene;

use std::time::Duration;

use self::delivery::{scattered, to_all};
use self::fleet::Fleet;
use self::scene::Scene;
use crate::failure::BenchError;
use crate::ground::{Ground, SEGMENTS};
use crate::plan::Pace;
use crate::screen::say;

/// Open at the same time; for a look, fewer.
const STREAMS: usize = 10_000;
const STREAMS_QUICK: usize = 2_000;
/// Besides streams, either process has connections to the other and to the servers.
const DESCRIPTORS: u64 = 12_000;
const COMMIT_TIMES: &str = "track_commit_timestamp=on";

/// Measures; returns the table.
pub async fn run(pace: Pace) -> Result<String, BenchError> {
    let quiet = Duration::from_secs(pace.choose(3, 15));
    let streams = pace.choose(STREAMS_QUICK, STREAMS);
    let payments = pace.choose(300, 800);
    let payments_to_all = pace.choose(3, 10);

    descriptors::check(DESCRIPTORS)?;
    let ground = Ground::start_with(SEGMENTS, &[COMMIT_TIMES]).await?;
    let deployment = ground
        .deployment()
        .env("QUITTANCE_STREAMS_PER_USER_MAX", streams.to_string())
        .start()
        .await?;
    let scene = Scene::of(&deployment)?;
    let users = scene.users(streams).await?;
    scene.warm_up(&users).await?;

    let before_kib = scene.memory_kib()?;
    say("opening streams ...");
    let mut fleet = Fleet::open(scene.address, users.iter()).await?;
    let idle = scene.idle(streams, before_kib, quiet).await?;
    say("random users pay ...");
    let scattered = scattered(&scene, &mut fleet, &users, payments).await?;
    drop(fleet);
    scene.until_closed().await?;

    say("opening streams of one user ...");
    let one = scene.users(1).await?;
    let mut fleet = Fleet::open(scene.address, one.iter().cycle().take(streams)).await?;
    let to_all = to_all(&scene, &mut fleet, &one, streams, payments_to_all).await?;
    drop(fleet);
    scene.until_closed().await?;
    deployment.finish().await?;
    Ok(report::table(streams, idle, &scattered, &to_all))
}
