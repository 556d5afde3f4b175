//! The local stack: a private Postgres, a private Redis, a chain and Quittance's own processes.
//!
//! Two things stand on it: the program `stack` (the README's first command), and the test suites,
//! whose entrance is [`Deployment`]. Every child process started here ends with the process that
//! started it, even when that one is killed.

pub mod account;
pub mod chain;
#[cfg(test)]
mod chain_life;
pub mod checkout;
pub mod client;
pub mod commands;
pub mod data_folder;
pub mod database;
pub mod deployment;
#[cfg(test)]
mod deployment_life;
pub mod lines;
pub mod offspring;
pub mod port;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod secret;
#[cfg(test)]
mod server_life;
pub mod service;
pub mod settings;
mod spawner;
pub mod temporary_folder;

pub use chain::{Chain, ChainError, Wallet};
pub use client::answer::Answer;
pub use client::console::Console;
pub use client::frames::{Frame, Frames};
pub use client::operator::{Operator, SessionTokens};
pub use deployment::{Deployment, DeploymentError};
pub use postgres::Postgres;
pub use redis::Redis;
pub use service::Service;
