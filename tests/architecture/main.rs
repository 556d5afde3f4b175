//! Suite: architecture.
