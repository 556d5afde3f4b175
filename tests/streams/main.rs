//! Suite: streams.
