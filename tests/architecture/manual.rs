//! The README keeps up with the code.

use std::fs;

use shared::config::DEFAULTS;

use crate::sources::{root, rust_files};

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn every_setting_is_in_the_readme_with_its_default_and_meaning() {
    let readme = readme();
    let mut meaning = "";
    for line in DEFAULTS.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            meaning = comment;
        }
        let Some((name, default)) = line.split_once(" = ").filter(|_| !line.starts_with('#'))
        else {
            continue;
        };
        let variable = match name {
            "database_url" | "redis_url" | "solana_rpc_url" | "solana_ws_url" => {
                name.to_uppercase()
            }
            _ => format!("QUITTANCE_{}", name.to_uppercase()),
        };
        let shown = match default.trim_matches('"') {
            "" => String::new(),
            default => format!("`{default}` "),
        };
        let row = format!("| `{variable}` | {shown}| {meaning} |");
        assert!(
            readme.lines().any(|line| line == row),
            "the README lacks: {row}"
        );
    }
}

#[test]
fn every_route_is_in_the_readme() {
    let readme = readme();
    for source in rust_files(&["api/src/surfaces"]) {
        for route in source
            .text
            .split("\"/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            if route.starts_with("v1/") || route.starts_with("ops/") {
                assert!(
                    readme.contains(&format!("/{route}")),
                    "/{route} is not in the README"
                );
            }
        }
    }
}
