//! What every Quittance process must read identically, in flow order. A thing lives here only if two
//! processes depend on it today; what one process needs alone lives with that process.
//!
//! | module | what it fixes | who writes |
//! |---|---|---|
//! | [`money`] | amounts and their decimal text | nobody (pure) |
//! | [`ids`] | typed identifiers | nobody (pure) |
//! | [`config`] | every setting, its default and its checks | nobody (read at start) |
//! | [`db`] | pools, which errors pass by themselves | – |
//! | [`schema`] | migrations | the migrate command |
//! | [`queue`] | streams between api and worker: jobs, replies, parking | api enqueues, worker acknowledges |
//! | [`prices`] | what a SOL is worth now | nobody (reads a feed) |
//! | [`invoices`] | invoices: rows, prices, rails, creation | api creates; [`settlement`] ends them |
//! | [`ledger`] | balances and entries (reads only), the audit | nobody |
//! | [`settlement`] | the only way money moves and invoices end | worker; api for cancel and adjust |
//! | [`chain`] | Solana: nodes, deposit accounts, what a transaction did and whose money it is | nobody (asks nodes, notes signatures) |
//! | [`events`] | outbox messages and their publishing | whoever settled, right after commit |
//! | [`telemetry`] | logs, metrics, health answers | every process |

pub mod chain;
pub mod config;
pub mod db;
pub mod events;
pub mod ids;
pub mod invoices;
pub mod ledger;
pub mod money;
pub mod prices;
pub mod queue;
pub mod schema;
pub mod settlement;
pub mod telemetry;
