//! Invoices: made, cancelled, and ended by time.

use rand::RngExt;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::settlement::{cancel, expire};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use sqlx::PgPool;
use uuid::Uuid;

use crate::world::{Bill, World};

const USERS: usize = 2;
const BILLS: usize = 6;
/// Of one SOL, micro-USD.
const PRICE_MICRO: i64 = 150_000_000;
const LAMPORTS_PER_SOL: i64 = 1_000_000_000;

impl World {
    /// Some users, and invoices of theirs.
    pub async fn open_bills(&mut self, pool: &PgPool) {
        let ids: Vec<Uuid> = (0..USERS)
            .map(|_| Uuid::from_u128(self.rng.random()))
            .collect();
        sqlx::query(
            "with made as (insert into users (id) select unnest($1::uuid[]) returning id)
             insert into balances (user_id) select id from made",
        )
        .bind(&ids)
        .execute(pool)
        .await
        .unwrap();
        self.users = ids.into_iter().map(UserId).collect();
        for _ in 0..BILLS {
            self.open_bill(pool).await;
        }
    }

    async fn open_bill(&mut self, pool: &PgPool) {
        let account = self.rng.random_range(0..self.accounts.len());
        let amount_micro: i64 = self.rng.random_range(1_000_000..9_000_000);
        let rate_micro = (account == 0).then_some(PRICE_MICRO);
        let units = match rate_micro {
            Some(rate) => (amount_micro * LAMPORTS_PER_SOL + rate - 1) / rate,
            None => amount_micro,
        };
        let is_topup = self.rng.random_bool(0.5);
        let bill = Bill {
            id: InvoiceId::parse(&format!("inv_{:016x}", self.rng.random::<u64>())).unwrap(),
            account,
            reference: Pubkey::new_from_array(self.rng.random()),
            units: units.unsigned_abs(),
            user: self.users[self.rng.random_range(0..USERS)],
            is_over: false,
        };
        sqlx::query(
            "insert into invoices (id, user_id, amount_micro, channel, rail, action, plan, months, fx_micro_per_token,
                                   address, reference_pubkey, expires_at, grace_until)
             values ($1, $2, $3, 'crypto-onchain', $4, $5, $6, $7, $8, $9, $10, now() + interval '1 hour',
                     now() + interval '2 hours')",
        )
        .bind(bill.id.as_str())
        .bind(bill.user.0)
        .bind(amount_micro)
        .bind(self.accounts[account].rail.id())
        .bind(if is_topup { "topup" } else { "subscription_purchase" })
        .bind((!is_topup).then_some("starter"))
        .bind((!is_topup).then_some(1_i16))
        .bind(rate_micro)
        .bind(self.treasury.pubkey().to_string())
        .bind(bill.reference.to_string())
        .execute(pool)
        .await
        .unwrap();
        self.bills.push(bill);
    }

    /// The owner gives an invoice up.
    pub async fn cancel_bill(&mut self, at: usize, pool: &PgPool) {
        let bill = self.bills[at].clone();
        let done = cancel(pool, &bill.id, bill.user, &TraceId::generate()).await;
        let done = done.unwrap().is_some();
        self.tell(format!("bill {at} is cancelled: {done}"));
    }

    /// An invoice's time is over on the chain's clock. What lands afterwards is late.
    pub async fn end_bill(&mut self, at: usize, pool: &PgPool) {
        self.tell(format!("bill {at} is over at {}", self.now()));
        self.bills[at].is_over = true;
        sqlx::query(
            "update invoices set created_at = to_timestamp($2) - interval '1 hour', expires_at = to_timestamp($2)
             where id = $1 and status = 'pending'",
        )
        .bind(self.bills[at].id.as_str())
        .bind(as_float(self.now()))
        .execute(pool)
        .await
        .unwrap();
        self.produce(5);
    }

    /// Nothing is waited for any more.
    pub async fn end_grace(&mut self, at: usize, pool: &PgPool) {
        self.tell(format!("bill {at} has no grace left"));
        sqlx::query(
            "update invoices set grace_until = now() - interval '1 second' where id = $1 and status = 'pending'",
        )
        .bind(self.bills[at].id.as_str())
        .execute(pool)
        .await
        .unwrap();
    }

    /// The workers' sweep of overdue invoices, from the beginning.
    pub async fn sweep_bills(&mut self, pool: &PgPool, worker: &PgPool) {
        sqlx::query("update sweep_cursors set at = '-infinity'")
            .execute(pool)
            .await
            .unwrap();
        let swept = expire(worker, 100, &TraceId::generate()).await.unwrap();
        self.tell(format!("{} bills expire", swept.count));
    }
}

fn as_float(seconds: i64) -> f64 {
    f64::from(i32::try_from(seconds).unwrap())
}
