//! Users who can pay, and invoices for them to pay: inserted by SQL, since the api allows a user only a few at a time.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use stack::secret::random_token;
use uuid::Uuid;

use crate::failure::BenchError;

/// Enough for any number of invoices.
const BALANCE_MICRO: i64 = 4_000_000_000_000_000;
const BATCH: usize = 20_000;
/// What they add is for watchers, of which there are none, and takes most of the time.
const WITHOUT_TRIGGERS: &str = "set local session_replication_role = replica";
const INSERT_INVOICES: &str = "
    insert into invoices (id, user_id, amount_micro, channel, rail, action, plan, months, address, reference_pubkey,
                          expires_at, grace_until)
    select 'inv_' || left(n.hash, 16), n.user_id, 49000000, 'crypto-inapp', 'sol-spl-usdc', 'subscription_purchase',
           'starter', 1, repeat('a', 44), right(n.hash, 44), now() + interval '30 days',
           now() + interval '30 days'
    from (select encode(sha256(number::text::bytea), 'hex') as hash,
                 ($3::uuid[])[1 + number % cardinality($3::uuid[])] as user_id
          from generate_series($1::bigint, $2::bigint) as number) as n";

/// A user who can pay, signed in.
#[derive(Debug, Clone)]
pub struct Payer {
    /// The number that is the user's id.
    pub place: u64,
    /// Who.
    pub user_id: Uuid,
    /// For the cookie `nl_session`.
    pub session: String,
    /// For the cookie `nl_csrf` and the header.
    pub csrf: String,
}

/// An invoice to pay.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Its number; the id follows from it.
    pub number: u64,
    /// The payer's place among the payers.
    pub payer: usize,
}

impl Due {
    /// The invoice's id.
    pub fn invoice_id(self) -> String {
        invoice_id(self.number)
    }
}

/// The id of the invoice of this number: spread over the whole index, as random ones are.
pub fn invoice_id(number: u64) -> String {
    let hash = hex::encode(Sha256::digest(number.to_string().as_bytes()));
    format!("inv_{}", hash.get(..16).unwrap_or_default())
}

/// The invoices of one database.
pub struct Stock {
    pool: PgPool,
    next: AtomicU64,
    next_payer: AtomicU64,
}

impl Stock {
    /// An empty one; numbers begin at `first`.
    pub fn new(pool: PgPool, first: u64) -> Self {
        Self {
            pool,
            next: AtomicU64::new(first),
            next_payer: AtomicU64::new(1),
        }
    }

    /// Users with all the money they need, each with a session.
    pub async fn payers(&self, count: usize) -> Result<Vec<Payer>, BenchError> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let first = self.next_payer.fetch_add(count, Ordering::Relaxed);
        let payer = |place: u64| Payer {
            place,
            user_id: Uuid::from_u128(place.into()),
            session: random_token(),
            csrf: random_token(),
        };
        let payers: Vec<Payer> = (first..first + count).map(payer).collect();
        let ids: Vec<Uuid> = payers.iter().map(|payer| payer.user_id).collect();
        let hashes = |secret: fn(&Payer) -> &String| -> Vec<Vec<u8>> {
            let hash = |payer| Sha256::digest(secret(payer).as_bytes()).to_vec();
            payers.iter().map(hash).collect()
        };
        let mut transaction = self.pool.begin().await?;
        sqlx::query("insert into users (id) select unnest($1::uuid[])")
            .bind(&ids)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("insert into balances (user_id) select unnest($1::uuid[])")
            .bind(&ids)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "insert into sessions (token_hash, csrf_hash, user_id, expires_at)
             select s.*, now() + interval '30 days' from unnest($1::bytea[], $2::bytea[], $3::uuid[]) as s",
        )
        .bind(hashes(|payer| &payer.session))
        .bind(hashes(|payer| &payer.csrf))
        .bind(&ids)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "select adjust_balance(u, $2, 'money for a benchmark', u::text, repeat('0', 32)) from unnest($1::uuid[]) as u",
        )
        .bind(&ids)
        .bind(BALANCE_MICRO)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(payers)
    }

    /// So many new pending invoices, one payer's after the other's.
    pub async fn invoices(&self, payers: &[Payer], count: usize) -> Result<Vec<Due>, BenchError> {
        let users: Vec<Uuid> = payers.iter().map(|payer| payer.user_id).collect();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let numbers: Vec<u64> = (first..first + count).collect();
        let mut transaction = self.pool.begin().await?;
        sqlx::query(WITHOUT_TRIGGERS)
            .execute(&mut *transaction)
            .await?;
        for some in numbers.chunks(BATCH) {
            let (Some(from), Some(to)) = (some.first(), some.last()) else {
                continue;
            };
            sqlx::query(INSERT_INVOICES)
                .bind(signed(*from))
                .bind(signed(*to))
                .bind(&users)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        let payer = |number: u64| usize::try_from(number).unwrap_or(0) % payers.len().max(1);
        let due = |number| Due {
            number,
            payer: payer(number),
        };
        Ok(numbers.into_iter().map(due).collect())
    }

    /// Has the planner know what is there, and the disk have it: else autovacuum would come in the middle of a round, and
    /// the system would write in large bursts then, which hold up commits for a quarter of a second.
    pub async fn settle_down(&self) -> Result<(), BenchError> {
        sqlx::query("analyze").execute(&self.pool).await?;
        Ok(tokio::task::spawn_blocking(nix::unistd::sync).await?)
    }
}

/// Numbers here are far from the largest.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
