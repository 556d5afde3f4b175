//! The settlement functions against an independent model, and against each other at once.

mod audit_scale;
mod model;
mod races;
mod rules;
mod serial;
mod world;
