//! Live streams when the messages behind them come late, twice, out of order, or never.

mod delivery;
mod limits;
mod scene;
