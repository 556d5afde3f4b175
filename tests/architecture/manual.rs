//! The README keeps up with the code.

use std::fs;

use shared::config::DEFAULTS;

use crate::sources::{root, rust_files};

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn every_setting_is_in_the_readme_with_its_default() {
    let readme = readme();
    for line in DEFAULTS.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, default)) = line.split_once(" = ") else {
            continue;
        };
        let variable = match name {
            "database_url" | "redis_url" => name.to_uppercase(),
            _ => format!("QUITTANCE_{}", name.to_uppercase()),
        };
        let default = default.trim_matches('"');
        let row = readme
            .lines()
            .find(|row| row.starts_with(&format!("| `{variable}` |")));
        let row = row.unwrap_or_else(|| panic!("{variable} is not in the README"));
        let shown = if default.is_empty() {
            "| |".to_owned()
        } else {
            format!("| `{default}` |")
        };
        assert!(row.contains(&shown), "{row} should show {default:?}");
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
