//! What the worker does on the chains that invoices are paid on.

pub mod solana;
