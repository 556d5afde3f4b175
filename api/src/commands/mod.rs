//! What surfaces can ask for, whichever wire format the question came in.

pub mod pay_from_balance;
