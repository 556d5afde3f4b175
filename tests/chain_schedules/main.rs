//! Money from outside under random schedules: nodes lie, fail, lag, forget and start anew, the chain forks, payments of every
//! kind arrive, and watchers die anywhere and return. The real watcher, in this process, on a real Postgres, without HTTP and
//! without waiting.
//!
//! `QUITTANCE_SCHEDULES` says how many schedules run, `QUITTANCE_SCHEDULE_SEED` replays one, or is `random`.
#![expect(
    clippy::unwrap_used,
    reason = "a test suite: a failed step fails its test"
)]

mod bills;
mod calls;
mod checks;
mod driver;
mod ending;
mod ground;
mod moods;
mod payments;
mod rounds;
mod schedules;
mod transactions;
mod world;
