//! The README's table of the operator API keeps up with what is answered.

use std::fs;
use std::path::Path;

use crate::unattributed::FIELDS;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn the_manual_names_every_field_filter_and_refusal() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let manual = fs::read_to_string(manual).expect("the README");
    let row = |route: &str| {
        let row = manual
            .lines()
            .find(|line| line.starts_with('|') && line.contains(route));
        row.unwrap_or_else(|| panic!("no row for {route}"))
    };
    let list = row("`GET /ops/v1/unattributed`");
    assert!(FIELDS.iter().all(|field| list.contains(field)), "{list}");
    for (route, words) in [
        (
            "`GET /ops/v1/unattributed`",
            [
                "state",
                "order",
                "newest",
                "oldest",
                "worth",
                "signature",
                "next_cursor",
                "before",
                "limit",
            ]
            .as_slice(),
        ),
        (
            "`POST /ops/v1/unattributed/{id}/attribute`",
            &[
                "/dismiss`",
                "invoice_id",
                "note",
                "invoice_does_not_fit",
                "nothing_to_attribute",
                "invoice_was_credited",
            ],
        ),
        (
            "`POST /ops/v1/unattributed/{id}/credit`",
            &[
                "user_id",
                "note",
                "amount_micro",
                "entry_id",
                "new_balance_micro",
                "nothing_to_attribute",
                "balance_too_large",
                "fx_unavailable",
                "fx_not_configured",
            ],
        ),
        (
            "`POST /ops/v1/unattributed/dismiss`",
            &[
                "ids",
                "filter",
                "reason",
                "rail",
                "account",
                "worth_below_micro",
                "found_before",
                "dismissed",
                "remaining",
            ],
        ),
        ("`GET /ops/v1/parked`", &["state", "queue", "order"]),
        (
            "`GET /ops/v1/actions`",
            &["action", "target", "since", "until"],
        ),
        (
            "`GET /ops/v1/dust`",
            &["account", "rail", "deposits", "units", "last_at"],
        ),
        (
            "`GET /ops/v1/reconciliation`",
            &[
                "account",
                "rail",
                "at",
                "theirs",
                "ours",
                "quittance-worker reconcile",
                "quittance_reconciliation_ok",
                "quittance_reconciliation_age_seconds",
            ],
        ),
    ] {
        let row = row(route);
        for word in words {
            assert!(row.contains(word), "{word} is not in: {row}");
        }
    }
}
