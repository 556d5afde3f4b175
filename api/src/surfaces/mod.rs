//! The inbound APIs: one folder each, one file per endpoint. A surface translates; it decides nothing.

pub mod console;
pub mod ops;
