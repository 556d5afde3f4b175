//! Who may do what.

use crate::sources::rust_files;

/// Tables that only the settlement functions of the migrations write.
const SETTLED: [&str; 4] = ["transfers", "balances", "outbox_batches", "subscriptions"];

#[test]
fn money_moves_in_the_settlement_functions_only() {
    for source in rust_files(&["api/src", "worker/src", "watcher/src", "shared/src"]) {
        let text = source.text.to_lowercase();
        for table in SETTLED {
            for write in ["insert into", "update", "delete from"] {
                // A new user's empty balance is the one row that the operator API may add (its role allows no more).
                let allowed = source.path.ends_with("ops/create_user.rs") && table == "balances";
                let found = text.contains(&format!("{write} {table} ")) && !allowed;
                assert!(!found, "{} has `{write} {table}`", source.path);
            }
        }
        assert!(
            !text.contains("update invoices"),
            "{} changes an invoice",
            source.path
        );
    }
}

#[test]
fn surfaces_reach_the_queue_through_commands() {
    for source in rust_files(&["api/src/surfaces/console"]) {
        assert!(
            !source.text.contains("Producer"),
            "{} enqueues by itself",
            source.path
        );
    }
}

#[test]
fn apalis_stays_behind_the_registry() {
    for source in rust_files(&["api/src", "worker/src", "watcher/src", "shared/src"]) {
        let inside = source.path == "worker/src/registry.rs";
        assert!(
            inside || !source.text.contains("use apalis"),
            "{} uses apalis",
            source.path
        );
    }
}

#[test]
fn money_has_no_floats() {
    for source in rust_files(&[
        "shared/src/settlement",
        "shared/src/ledger",
        "shared/src/invoices",
        "shared/src/chain",
    ]) {
        let floats = source
            .text
            .lines()
            .filter(|line| line.contains("f64") && !line.contains("f64::from"));
        assert_eq!(
            floats.collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "{}",
            source.path
        );
    }
    let money = &rust_files(&["shared/src"])
        .into_iter()
        .find(|s| s.path == "shared/src/money.rs")
        .unwrap()
        .text;
    assert!(!money.contains("f64") && !money.contains("f32"));
}
