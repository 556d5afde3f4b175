//! One file per job. To add one: its payload in `shared/src/queue/jobs.rs`, its queue in `shared/src/queue/mod.rs`,
//! its handler here, and a line in `run.rs`.

pub mod pay;
pub mod relay;
