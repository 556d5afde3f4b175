//! Puts a model's users and invoices into a database.

use shared::ids::{InvoiceId, TraceId, UserId};
use shared::queue::PayJob;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};

use crate::model::{Model, ModelInvoice, ModelUser, Standing};

/// A model's counterpart in the database.
pub struct World {
    /// The users, by the model's index.
    pub users: Vec<UserId>,
    /// The invoices, by the model's index.
    pub invoices: Vec<InvoiceId>,
}

impl World {
    /// Creates everything the model has.
    pub async fn create(pool: &PgPool, model: &Model) -> Self {
        let mut users = Vec::new();
        for user in &model.users {
            users.push(create_user(pool, user).await);
        }
        let mut invoices = Vec::new();
        for invoice in &model.invoices {
            invoices.push(create_invoice(pool, users[invoice.owner], invoice).await);
        }
        Self { users, invoices }
    }

    /// The request that `user` pays `invoice`, unknown beyond the end.
    pub fn request(&self, invoice: usize, user: usize) -> (PayJob, TraceId) {
        let invoice_id = self
            .invoices
            .get(invoice)
            .cloned()
            .unwrap_or_else(InvoiceId::generate);
        (
            PayJob {
                invoice_id,
                user_id: self.users[user],
            },
            TraceId::generate(),
        )
    }
}

/// A user with a balance, which an adjustment explains.
pub async fn create_user(pool: &PgPool, user: &ModelUser) -> UserId {
    let id = UserId::generate();
    sqlx::query("insert into users (id) values ($1)")
        .bind(id.0)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("insert into balances (user_id) values ($1)")
        .bind(id.0)
        .execute(pool)
        .await
        .unwrap();
    if user.balance_micro > 0 {
        sqlx::query("select adjust_balance($1, $2, 'start', 'start', 'test')")
            .bind(id.0)
            .bind(user.balance_micro)
            .execute(pool)
            .await
            .unwrap();
    }
    if user.locked {
        sqlx::query("select set_balance_lock($1, true)")
            .bind(id.0)
            .execute(pool)
            .await
            .unwrap();
    }
    id
}

/// A subscription (one month of `starter`) or a top-up.
pub async fn create_invoice(pool: &PgPool, owner: UserId, invoice: &ModelInvoice) -> InvoiceId {
    let id = InvoiceId::generate();
    let (action, plan, months) = if invoice.topup {
        ("topup", None, None)
    } else {
        ("subscription_purchase", Some("starter"), Some(1_i16))
    };
    let age_seconds = if invoice.standing == Standing::Overdue {
        7200.0
    } else {
        0.0
    };
    sqlx::query(
        "insert into invoices (id, user_id, amount_micro, channel, rail, action, plan, months, address,
                               reference_pubkey, created_at, expires_at, grace_until)
         values ($1, $2, $3, 'crypto-onchain', 'sol-native', $4, $5, $6, 'address', $1,
                 now() - make_interval(secs => $7), now() - make_interval(secs => $7 - 3600),
                 now() - make_interval(secs => $7 - 3600))",
    )
    .bind(id.as_str())
    .bind(owner.0)
    .bind(invoice.amount_micro)
    .bind(action)
    .bind(plan)
    .bind(months)
    .bind(age_seconds)
    .execute(pool)
    .await
    .unwrap();
    if invoice.standing == Standing::Cancelled {
        sqlx::query("select cancel_invoice($1, $2, 'test')")
            .bind(id.as_str())
            .bind(owner.0)
            .execute(pool)
            .await
            .unwrap();
    }
    id
}

/// A pending subscription invoice.
pub fn pending(owner: usize, amount_micro: i64) -> ModelInvoice {
    ModelInvoice {
        owner,
        amount_micro,
        topup: false,
        standing: Standing::Pending,
    }
}

/// A user that is not locked.
pub fn with_balance(balance_micro: i64) -> ModelUser {
    ModelUser {
        balance_micro,
        locked: false,
    }
}

/// A user's balance as the database has it.
pub async fn balance_of(pool: &PgPool, user: UserId) -> i64 {
    sqlx::query_scalar("select amount_micro from balances where user_id = $1")
        .bind(user.0)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Rows of a table that this connection has read, and has not yet reported.
async fn read_so_far(connection: &mut PgConnection, table: &str) -> i64 {
    sqlx::query_scalar(
        "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint from pg_stat_xact_user_tables
         where relname = $1",
    )
    .bind(table)
    .fetch_one(connection)
    .await
    .unwrap()
}

/// Rows of a table that a statement reads.
pub async fn rows_read(
    connection: &mut PgConnection,
    table: &str,
    statement: Query<'_, Postgres, PgArguments>,
) -> i64 {
    let mut transaction = connection.begin().await.unwrap();
    let before = read_so_far(&mut transaction, table).await;
    statement.execute(&mut *transaction).await.unwrap();
    let read = read_so_far(&mut transaction, table).await - before;
    transaction.commit().await.unwrap();
    read
}
