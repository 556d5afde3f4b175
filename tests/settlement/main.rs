//! The settlement functions against an independent model, and against each other at once.

#![expect(
    clippy::unwrap_used,
    reason = "a test suite: a failed step fails its test"
)]

mod audit_scale;
mod chain_amounts;
mod chain_aside;
mod chain_confirmed;
mod chain_events;
mod chain_lateness;
mod chain_look;
mod chain_model;
mod chain_model_settle;
mod chain_opens;
mod chain_order;
mod chain_races;
mod chain_rules;
mod chain_scene;
mod chain_serial;
mod chain_serial_events;
mod chain_serial_world;
mod chain_values;
mod chain_world;
mod dead_watchers;
mod expiry;
mod kept_connection;
mod model;
mod races;
mod retention;
mod rules;
mod serial;
mod world;
