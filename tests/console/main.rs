//! Suite: console.
