//! What surfaces can ask for, whichever wire format the question came in.

mod ask;
pub mod pay_from_balance;
pub mod relay;
