//! Years of business: users who have paid many invoices from their balances.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

use crate::failure::BenchError;

/// Invoices of a user.
const EACH: u64 = 100;
/// Far from the numbers of other users and invoices.
const FIRST_USER: u64 = 1_000_000_000;
const FIRST_INVOICE: u64 = 1_000_000_000_000;

const SESSION: &str = "
    set session_replication_role = replica;
    set synchronous_commit = off;
    set maintenance_work_mem = '1GB'";
/// In one transaction with what follows, so that Postgres need not log it (`wal_level=minimal`). The rows are sound, and
/// indexes are made at the end: sorted, they are made at a fraction of the time.
const BEGIN: &str = "
    begin;
    truncate TABLE cascade;
    alter table TABLE drop constraint TABLE_sound;
    update pg_index set indisready = false where indrelid = 'TABLE'::regclass";
const END: &str = "
    reindex table TABLE;
    alter table TABLE add constraint TABLE_sound check (CHECK(TABLE)) not valid;
    commit";
const VACUUM: &str = "vacuum (analyze) TABLE";

const USERS: &str = "
    insert into users (id) select lpad(to_hex(FIRST_USER + u), 32, '0')::uuid from generate_series(0, USERS - 1) as u;
    insert into balances (user_id, amount_micro, last_transfer_id)
    select lpad(to_hex(FIRST_USER + u), 32, '0')::uuid, 1000000, USERS + u * EACH + EACH from generate_series(0, USERS - 1) as u;
    insert into subscriptions (user_id, plan, anchor_at, months_total, months_purchased, active_until, updated_at)
    select lpad(to_hex(FIRST_USER + u), 32, '0')::uuid, 'starter', now(), EACH, EACH, now() + interval '8 years', now()
    from generate_series(0, USERS - 1) as u;
    select setval('transfers_id_seq', USERS * (EACH + 1) + 1)";
const INVOICES: &str = "
    insert into invoices (id, user_id, status, version, amount_micro, channel, rail, action, plan, months, address,
                          reference_pubkey, created_at, expires_at, grace_until, paid_at, processed_at)
    select 'inv_' || left(n.hash, 16), lpad(to_hex(FIRST_USER + n.place / EACH), 32, '0')::uuid, 'paid', 2, 49000000,
           'crypto-inapp', 'sol-spl-usdc', 'subscription_purchase', 'starter', 1, repeat('a', 44), right(n.hash, 44),
           n.at, n.at + interval '1 day', n.at + interval '1 day', n.at, n.at
    from (select place, encode(sha256((FIRST_INVOICE + place)::text::bytea), 'hex') as hash,
                 now() - interval '1 year' + place * interval '1 second' as at
          from generate_series(0, USERS * EACH - 1) as place) as n";
const TRANSFERS: &str = "
    insert into transfers (id, debit_account, credit_account, amount_micro, kind, user_id, user_balance_after, at)
    select u + 1, 'adjustments', 'user:' || lpad(to_hex(FIRST_USER + u), 32, '0')::uuid, 49000000 * EACH + 1000000, 'adjust',
           lpad(to_hex(FIRST_USER + u), 32, '0')::uuid, 49000000 * EACH + 1000000, now() - interval '2 years'
    from generate_series(0, USERS - 1) as u;
    insert into transfers (id, debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                           user_balance_after, at)
    select USERS + n.place + 1, 'user:' || n.user_id, 'revenue', 49000000, 'invoice_debit',
           'inv_' || left(encode(sha256((FIRST_INVOICE + n.place)::text::bytea), 'hex'), 16), n.user_id,
           1000000 + 49000000 * (EACH - 1 - n.place % EACH), now() - interval '1 year' + n.place * interval '1 second'
    from (select place, lpad(to_hex(FIRST_USER + place / EACH), 32, '0')::uuid as user_id
          from generate_series(0, USERS * EACH - 1) as place) as n";

/// A table of many rows, how they are made, and what holds for each.
struct Table {
    name: &'static str,
    rows: &'static str,
    check: &'static str,
}

const TABLES: [Table; 2] = [
    Table {
        name: "invoices",
        rows: INVOICES,
        check: "invoice_is_sound",
    },
    Table {
        name: "transfers",
        rows: TRANSFERS,
        check: "transfer_is_sound",
    },
];

/// Adds so many paid invoices, each with its debit in the ledger. There must be no other yet.
pub async fn add_past(database_url: &str, invoices: u64) -> Result<(), BenchError> {
    let users = invoices.div_ceil(EACH);
    let mut connection = PgConnection::connect(database_url).await?;
    for statements in [SESSION, USERS] {
        execute(&mut connection, statements, users).await?;
    }
    connection.close().await?;
    let [one, other] = TABLES.map(|table| fill(database_url, table, users));
    tokio::try_join!(one, other)?;
    Ok(())
}

async fn fill(database_url: &str, table: Table, users: u64) -> Result<(), BenchError> {
    let mut connection = PgConnection::connect(database_url).await?;
    for statements in [SESSION, BEGIN, table.rows, END, VACUUM] {
        let statements = statements
            .replace("TABLE", table.name)
            .replace("CHECK", table.check);
        execute(&mut connection, &statements, users).await?;
    }
    Ok(connection.close().await?)
}

async fn execute(
    connection: &mut PgConnection,
    statement: &str,
    users: u64,
) -> Result<(), BenchError> {
    // The constants of this file only.
    let statement = statement
        .replace("FIRST_USER", &format!("{FIRST_USER}::bigint"))
        .replace("FIRST_INVOICE", &format!("{FIRST_INVOICE}::bigint"))
        .replace("USERS", &format!("{users}::bigint"))
        .replace("EACH", &format!("{EACH}::bigint"));
    raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}
