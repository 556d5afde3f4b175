//! Suite: queue.
