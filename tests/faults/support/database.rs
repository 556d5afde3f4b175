//! Faults planted in the database, by its superuser.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction, raw_sql};

use super::wait::eventually;

/// Runs statements made by a test.
pub async fn run(pool: &PgPool, sql: impl Into<String>) {
    raw_sql(AssertSqlSafe(sql.into()))
        .execute(pool)
        .await
        .unwrap();
}

/// Makes each payment take this long, inside its transaction, so that a fault can hit a batch in its middle.
pub async fn slow_settlement(pool: &PgPool, each: Duration) {
    let seconds = each.as_secs_f64();
    run(
        pool,
        format!(
            "create or replace function fault_slow() returns trigger language plpgsql as $$
             begin perform pg_sleep({seconds}); return new; end $$;
             create or replace trigger fault_slow before update on invoices
             for each row when (new.status = 'paid') execute function fault_slow();"
        ),
    )
    .await;
}

/// Lets payments go at their own speed again.
pub async fn usual_settlement(pool: &PgPool) {
    run(pool, "drop trigger fault_slow on invoices").await;
}

/// Has each payment wait inside its transaction until the gate is opened.
pub async fn close_gate(pool: &PgPool) {
    run(
        pool,
        "create table fault_gate (closed boolean);
         insert into fault_gate values (true);
         create function fault_gate() returns trigger language plpgsql as $$
         begin
             while exists (select from fault_gate) loop
                 perform pg_sleep(0.01);
             end loop;
             return new;
         end $$;
         create trigger fault_gate before update on invoices
         for each row when (new.status = 'paid') execute function fault_gate();",
    )
    .await;
}

/// Lets payments through that wait at the gate, and all later ones.
pub async fn open_gate(pool: &PgPool) {
    run(pool, "delete from fault_gate").await;
}

/// Makes the database refuse to settle one invoice, with this SQLSTATE.
pub async fn refuse_settlement(pool: &PgPool, invoice: &str, sqlstate: &str) {
    run(
        pool,
        format!(
            "create or replace function fault_refuse() returns trigger language plpgsql as $$
             begin raise exception 'planted refusal' using errcode = '{sqlstate}'; end $$;
             create or replace trigger fault_refuse before update on invoices
             for each row when (new.status = 'paid' and new.id = '{invoice}')
             execute function fault_refuse();"
        ),
    )
    .await;
}

/// Ends `refuse_settlement`.
pub async fn allow_settlement(pool: &PgPool) {
    run(pool, "drop trigger fault_refuse on invoices").await;
}

/// Makes the first settlements of invoices fail with these SQLSTATEs, one after the other; later ones succeed.
pub async fn fail_first_settlements(pool: &PgPool, sqlstates: &[&str]) {
    let states = sqlstates.join(",");
    run(
        pool,
        format!(
            "create sequence fault_failures;
             create function fault_fail() returns trigger language plpgsql as $$
             declare v_states text[] := string_to_array('{states}', ',');
                     v_count bigint := nextval('fault_failures');
             begin
                 if v_count <= cardinality(v_states) then
                     raise exception 'planted failure' using errcode = v_states[v_count];
                 end if;
                 return new;
             end $$;
             create trigger fault_fail before update on invoices
             for each row when (new.status = 'paid') execute function fault_fail();"
        ),
    )
    .await;
}

/// Holds an invoice's row lock until the transaction ends.
pub async fn hold_invoice(pool: &PgPool, invoice: &str) -> Transaction<'static, Postgres> {
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("select from invoices where id = $1 for update")
        .bind(invoice)
        .execute(&mut *holder)
        .await
        .unwrap();
    holder
}

/// Waits until some worker is in the middle of a settlement that `slow_settlement` or `close_gate` holds up. A statement
/// counts as active while it is only being prepared, too.
pub async fn until_settling(pool: &PgPool) {
    eventually(
        "a settlement is under way",
        Duration::from_secs(10),
        async || is_settling(pool).await.then_some(()),
    )
    .await;
}

async fn is_settling(pool: &PgPool) -> bool {
    sqlx::query_scalar(
        "select exists (select from pg_stat_activity
                        where datname = current_database() and application_name = 'quittance-worker'
                          and state = 'active' and wait_event = 'PgSleep' and query ~ 'settle_(one_)?from_balance')",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Connections of the apis: all of them, and those left inside a transaction.
pub async fn api_connections(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "select count(*), count(*) filter (where state like 'idle in transaction%') from pg_stat_activity
         where datname = current_database() and application_name = 'quittance-api'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Waits until every committed event was published.
pub async fn until_published(pool: &PgPool, limit: Duration) {
    eventually("every event is published", limit, async || {
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from outbox_batches where published_at is null")
                .fetch_one(pool)
                .await
                .unwrap();
        (waiting == 0).then_some(())
    })
    .await;
}
