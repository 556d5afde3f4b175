//! The structure rules, as tests: what the tree promises stays true.

mod boundaries;
mod manual;
mod sources;
mod tree;
