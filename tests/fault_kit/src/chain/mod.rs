//! The chain that fake nodes report: slots, transactions and accounts, moved by the test.

mod accounts;
mod commitment;
mod handle;
mod ledger;
mod lie;
mod slots;
mod state;
mod ticker;
mod times;
mod view;

pub use accounts::FakeAccount;
pub use commitment::Commitment;
pub use handle::{ChainError, FakeChain};
pub use lie::Lie;
pub use ticker::Ticker;
pub use view::View;

pub(crate) use ledger::Landed;
pub(crate) use state::{Observer, State};
