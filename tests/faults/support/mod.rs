//! What the suites of faults share: clients that retry as the contract allows, load that can be watched, faults
//! planted in the database, and the comparison of what clients were told with what the database says.

pub mod client;
pub mod database;
pub mod queue;
pub mod storm;
pub mod truth;
pub mod wait;
pub mod world;
