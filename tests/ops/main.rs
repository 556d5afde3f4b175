//! Suite: ops.
