//! Suite: settlement.
