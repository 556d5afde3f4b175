//! What all surfaces share of HTTP: the server with its limits, the frame around every request, the flat error
//! body, JSON bodies.

pub mod flat;
pub mod frame;
pub mod json;
pub mod rate;
pub mod server;
mod takeover;
