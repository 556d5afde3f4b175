//! The same for payments on chain; and everything that the roles may do beyond reading, to the last function.

use stack::Deployment;

use crate::support::{finish, start};

/// What no role may write directly, and the functions that only settlement calls.
pub const CHAIN: &[&str] = &[
    "insert into chain_payments (signature, account, slot, net_units, state)
     select 's', account, 1, 5, 'finalized' from deposit_accounts",
    "update chain_payments set net_units = 1",
    "update chain_payments set state = 'finalized'",
    "delete from chain_payments",
    "truncate chain_payments cascade",
    "insert into chain_credits (signature, account, invoice_id, units, state)
     select signature, account, (select max(id) from invoices), 1, 'finalized' from chain_payments",
    "update chain_credits set settled_at = null, worth_micro = null",
    "update chain_credits set units = 1",
    "delete from chain_credits",
    "update invoices set payment_confirming = true",
    "update deposit_accounts set recipient = 'mine'",
    "delete from reconciliations",
    "insert into deposit_dust select account, 1, 1, now() from deposit_accounts",
    "insert into chain_outflows (signature, account, slot, units) select 's', account, 1, 1 from deposit_accounts",
    "delete from deposit_accounts",
    "update unattributed_deposits set units = 1",
    "update unattributed_deposits set invoice_id = 'inv_0000000000000001'",
    "delete from unattributed_deposits",
    "insert into chain_signatures (signature, source) values ('s', 'me')",
    "insert into reference_sweeps (invoice_id, next_at) select id, now() from invoices",
    "update reference_sweeps set next_at = 'infinity'",
    "insert into relay_transactions (signature, invoice_id, wire) select 's', id, '' from invoices limit 1",
    "update relay_transactions set wire = ''",
    "delete from relay_transactions",
    "insert into submitted_signatures (invoice_id, signature) select id, 's' from invoices limit 1",
    "delete from submitted_signatures",
    "select credit_balance((select id from users limit 1), 'sol-native', 5, null, 'p', now(), 't')",
    "select activate_subscriptions(array(select id from users limit 1), '{scale}', '{1}', now())",
    "select pay_from_chain(i, 1, 'p', true, now(), 't') from invoices i",
    "select settle_rests(i, true, 1, true, now(), 't') from invoices i",
    "select set_credits_aside(i, true, 'not_creditable', true, now()) from invoices i",
    "select settle_chain_invoice(i, true, 1, now(), 't') from invoices i",
    "select settle_chain_invoices(array(select id from invoices), true, 1, 't')",
    "select list_unsettled(id) from invoices",
    "select deposit_rail(u) from unattributed_deposits u",
    "select leave_open('s', 'a', 1, 'r', null, null, true, 1, 1)",
    "select check_credits('s', '{}', '{}', '{}', '{}', '{}')",
    "select end_invoices(array(select id from invoices), now(), 't')",
    "select expire_read('k', 'sol-native', 'a', 1, now(), 1, now(), 't')",
    "update invoices set has_parts = true",
    "update chain_credits set retry_at = now()",
    "select lock_signature('s')",
    "select lock_credited('{s}', '{}')",
    "select list_reversals('s')",
    "select advance_signature(null::chain_look, null)",
    "select record_look(null::chain_look, false)",
    "select change_looked_at(null::chain_look, '{}', 'finalized')",
    "select finish_look(null::chain_look, '{}', false)",
    "select submission_wait_seconds('inv_0000000000000001', 1)",
    "alter function reverse_chain_payment(text, bigint, text) security invoker",
    "drop trigger invoices_reference_sweep on invoices",
];

/// What only the watcher does.
pub const WATCHER_ONLY: &[&str] = &[
    "select record_chain_looks('[]', false, 1, 1, null, null, 't')",
    "select reverse_chain_payment('part', 1, 't')",
    "select settle_ended_invoices(10, 1, 't')",
    "select take_signatures('found', 10, interval '1 second', gen_random_uuid())",
    "select take_dropped(10, interval '1 second')",
    "select first_undecided_slot()",
    "select take_references(10, 30, interval '1 second')",
    "select plan_references('{}')",
    "select postpone_references('{}', interval '1 second')",
    "select release_signatures(interval '1 second')",
    "insert into deposit_accounts (account, rail, recipient) values ('mine', 'sol-native', 'mine')",
    "insert into watched_keys (key, start_slot) values ('mine', 0)",
    "update watched_keys set cursor_slot = 0",
    "insert into watchers (id) values (gen_random_uuid())",
    "delete from watchers",
    "update chain_signatures set state = 'done'",
    "delete from chain_signatures",
    "insert into unattributed_deposits (signature, reason) values ('s', 'r')",
];

/// What api and worker may and the watcher may not, beyond what is each one's alone: secrets, and others' queues.
pub const NOT_THE_WATCHER: &[&str] = &[
    "select * from sessions",
    "select * from operator_actions",
    "select * from parked_jobs",
    "select * from paused_queues",
    "delete from sessions",
    "delete from watched_keys",
    "delete from reference_sweeps",
];

/// Every function that each role may call.
const FUNCTIONS: [(&str, &[&str]); 3] = [
    (
        "quittance_api",
        &[
            "actions_page",
            "adjust_balance",
            "attribute_deposit",
            "balance_event",
            "balance_message",
            "cancel_invoice",
            "credit_deposit",
            "effective_status",
            "invoice_event",
            "invoice_is_sound",
            "invoice_message",
            "mark_published",
            "note_signatures",
            "note_submission",
            "parked_page",
            "set_balance_lock",
            "store_submission",
            "unattributed_page",
            "units_due",
            "units_per_token",
            "units_remaining",
            "units_worth_micro",
            "unix_seconds",
            "user_delta_micro",
        ],
    ),
    (
        "quittance_watcher",
        &[
            "balance_event",
            "balance_message",
            "effective_status",
            "first_undecided_slot",
            "invoice_event",
            "invoice_message",
            "mark_published",
            "note_signatures",
            "plan_references",
            "postpone_references",
            "record_chain_looks",
            "release_signatures",
            "reverse_chain_payment",
            "settle_ended_invoices",
            "take_dropped",
            "take_references",
            "take_signatures",
            "units_due",
            "units_per_token",
            "units_worth_micro",
            "unix_seconds",
            "user_delta_micro",
        ],
    ),
    (
        "quittance_worker",
        &[
            "balance_event",
            "balance_message",
            "books_at",
            "books_near",
            "effective_status",
            "expire_invoices",
            "invoice_event",
            "invoice_message",
            "mark_published",
            "moved_units",
            "note_signatures",
            "retire_events",
            "retire_submissions",
            "settle_from_balance",
            "settle_one_from_balance",
            "units_due",
            "units_per_token",
            "units_worth_micro",
            "unix_seconds",
            "unpublished_events",
            "user_delta_micro",
        ],
    ),
];

/// Every write that each role may do, with its columns where not the whole row is meant.
const WRITES: [(&str, &[&str]); 3] = [
    (
        "quittance_api",
        &[
            "delete paused_queues",
            "delete sessions",
            "insert balances(user_id)",
            "insert invoices(action, address, amount_micro, channel, client_request_hash, client_request_id, created_at, \
             description, expires_at, fx_micro_per_token, grace_until, id, months, plan, rail, reference_pubkey, user_id)",
            "insert operator_actions",
            "insert paused_queues",
            "insert sessions",
            "insert users",
            "update parked_jobs(resolution, resolved_at)",
            "update sessions(expires_at)",
            "update unattributed_deposits(note, resolution, resolved_at)",
            "update users(created_at)",
        ],
    ),
    (
        "quittance_watcher",
        &[
            "delete chain_signatures",
            "delete watchers",
            "insert deposit_accounts",
            "insert unattributed_deposits",
            "insert watched_keys",
            "insert watchers",
            "update chain_signatures(absences, absent_since, accounts_known, attempts, next_at, note, priority, slot, state, \
             taken_by)",
            "update deposit_accounts(opening_slot, opening_units)",
            "update unattributed_deposits(detail, reason)",
            "update watched_keys",
            "update watchers",
        ],
    ),
    (
        "quittance_worker",
        &[
            "delete sessions",
            "insert parked_jobs",
            "insert reconciliations",
            "update reconciliations",
            "update relay_transactions(absences, accepted, failure, last_valid_height, next_at, reason, sends, state, updated_at)",
        ],
    ),
];

async fn listed(deployment: &Deployment, query: &'static str, role: &str) -> Vec<String> {
    sqlx::query_scalar(query)
        .bind(role)
        .fetch_all(deployment.pool())
        .await
        .expect("a list")
}

#[tokio::test]
async fn each_role_calls_and_writes_what_is_listed_here_and_nothing_else() {
    let deployment = start(Deployment::builder().workers(0)).await;
    for (role, expected) in FUNCTIONS {
        let may = listed(
            &deployment,
            "select proname::text from pg_proc where pronamespace = 'public'::regnamespace
               and has_function_privilege($1, oid, 'execute') order by proname collate \"C\"",
            role,
        );
        assert_eq!(may.await, expected, "{role}");
    }
    for (role, expected) in WRITES {
        let may = listed(
            &deployment,
            "select a.may from (
                 select lower(p.kind) || ' ' || c.relname as may from pg_class c,
                        unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) as p (kind)
                 where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                   and has_table_privilege($1, c.oid, p.kind)
                 union all
                 select lower(p.kind) || ' ' || c.relname || '(' || string_agg(a.attname, ', ' order by a.attname) || ')'
                 from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped,
                      unnest(array['INSERT', 'UPDATE']) as p (kind)
                 where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                   and not has_table_privilege($1, c.oid, p.kind)
                   and has_column_privilege($1, c.oid, a.attnum, p.kind)
                 group by p.kind, c.relname) as a order by a.may collate \"C\"",
            role,
        );
        assert_eq!(may.await, expected, "{role}");
    }
    finish(deployment).await;
}
