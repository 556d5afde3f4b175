//! The shape of the tree.

use std::collections::BTreeSet;
use std::fs;

use crate::sources::{root, rust_files};

const ALL: [&str; 5] = ["api", "worker", "watcher", "shared", "tests"];
const TOP_LEVEL: [&str; 16] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "api",
    "clients",
    "clippy.toml",
    "migrations",
    "rustfmt.toml",
    "shared",
    "target",
    "tests",
    "watcher",
    "worker",
];
const SHARED_MODULES: [&str; 13] = [
    "chain",
    "config",
    "db",
    "events",
    "ids",
    "invoices",
    "ledger",
    "money",
    "prices",
    "queue",
    "schema",
    "settlement",
    "telemetry",
];
const DRAWERS: [&str; 8] = [
    "util", "utils", "helpers", "common", "misc", "types", "models", "prelude",
];
const LINES_MAX: usize = 400;

#[test]
fn the_top_level_is_fixed() {
    let unexpected: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn no_file_outgrows_its_reader() {
    let long: Vec<String> = rust_files(&ALL)
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn nothing_is_a_junk_drawer() {
    for source in rust_files(&ALL) {
        let parts = source.path.trim_end_matches(".rs").split('/');
        let drawer = parts.into_iter().find(|part| DRAWERS.contains(part));
        assert_eq!(drawer, None, "{}", source.path);
    }
}

#[test]
fn every_file_says_what_it_is() {
    for source in rust_files(&ALL) {
        assert!(
            source.text.starts_with("//! "),
            "{} begins without a module comment",
            source.path
        );
    }
}

#[test]
fn shared_is_a_closed_map() {
    let library = fs::read_to_string(root().join("shared/src/lib.rs")).unwrap();
    let modules: BTreeSet<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert_eq!(modules, BTreeSet::from(SHARED_MODULES));
}
