//! Suite: load.
