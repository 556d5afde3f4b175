//! The process that follows the chain: finds payments, proves them by what they did, and settles them.
//!
//! Polled histories are the truth; subscriptions, submissions and broadcasts are hints that make it fast. Everything
//! that was heard of is written down before it is examined, so that any number of watchers can die at any time.

pub mod backfill;
pub mod context;
pub mod examine;
pub mod finality;
pub mod follow;
pub mod gone;
pub mod lease;
pub mod lost;
pub mod observe;
pub mod openings;
pub mod orphans;
pub mod recheck;
pub mod recorder;
pub mod references;
pub mod register;
pub mod release;
pub mod retention;
pub mod ripening;
pub mod run;
pub mod weigh;
