//! The debit itself: what a worker asks of Postgres for one payment, and what everything is compared with.

/// Settles the invoice `$1` from the balance of the user `$2`; answers `paid`.
pub const DEBIT: &str = "select outcome from settle_one_from_balance($1::text, $2::uuid, $3::text)";
/// Any trace will do.
pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What it answers.
pub const PAID: &str = "paid";
