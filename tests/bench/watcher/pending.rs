//! Invoices that nobody pays, as many as a busy deployment has: the same columns as the product writes, references
//! that are unique, and what the schema's triggers add.

use sqlx::PgPool;
use stack::secret::random_deposit_address;
use uuid::Uuid;

use crate::failure::BenchError;

/// As many as a user may have.
const INVOICES_OF_A_USER: usize = 20;
/// Rows inserted at once.
const BATCH: usize = 10_000;
const MAINTAINED: &str = "vacuum (analyze) users; vacuum (analyze) balances; vacuum (analyze) invoices; vacuum (analyze) reference_sweeps";

/// Users with pending invoices.
pub struct Pending {
    users: Vec<Uuid>,
}

impl Pending {
    /// Inserts so many pending invoices and has the planner know about them.
    pub async fn insert(
        pool: &PgPool,
        deposit_address: &str,
        count: usize,
    ) -> Result<Self, BenchError> {
        let users: Vec<Uuid> = (0..count.div_ceil(INVOICES_OF_A_USER))
            .map(|_| Uuid::new_v4())
            .collect();
        sqlx::query("insert into users (id) select unnest($1::uuid[])")
            .bind(&users)
            .execute(pool)
            .await?;
        sqlx::query("insert into balances (user_id) select unnest($1::uuid[])")
            .bind(&users)
            .execute(pool)
            .await?;
        let owners: Vec<Uuid> = users.iter().copied().cycle().take(count).collect();
        for owners in owners.chunks(BATCH) {
            let ids: Vec<String> = owners.iter().map(|_| invoice_id()).collect();
            let references: Vec<String> = owners.iter().map(|_| random_deposit_address()).collect();
            sqlx::query(
                "insert into invoices (
                     id, user_id, amount_micro, description, channel, rail, action, plan, months,
                     client_request_id, client_request_hash, fx_micro_per_token, address, reference_pubkey,
                     created_at, expires_at, grace_until)
                 select n.id, n.owner, 1000000, '', 'crypto-onchain', 'sol-spl-usdc', 'topup', null, null,
                        null, null, null, $4, n.reference, now(), now() + interval '1 hour', now() + interval '2 hours'
                 from unnest($1::text[], $2::uuid[], $3::text[]) as n (id, owner, reference)",
            )
            .bind(&ids)
            .bind(owners)
            .bind(&references)
            .bind(deposit_address)
            .execute(pool)
            .await?;
        }
        maintain(pool).await?;
        Ok(Self { users })
    }

    /// Removes them again. Their users stay: looking for what names them would take longer.
    pub async fn remove(self, pool: &PgPool) -> Result<(), BenchError> {
        sqlx::query(
            "delete from reference_sweeps s using invoices i
             where i.id = s.invoice_id and i.user_id = any($1)",
        )
        .bind(&self.users)
        .execute(pool)
        .await?;
        sqlx::query("delete from invoices where user_id = any($1)")
            .bind(&self.users)
            .execute(pool)
            .await?;
        maintain(pool).await
    }
}

/// What Postgres would do by itself within a minute, and then in the middle of a measurement.
async fn maintain(pool: &PgPool) -> Result<(), BenchError> {
    for statement in MAINTAINED.split(';') {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(pool)
            .await?;
    }
    sqlx::raw_sql("checkpoint").execute(pool).await?;
    Ok(())
}

fn invoice_id() -> String {
    format!("inv_{:016x}", rand::random::<u64>())
}
