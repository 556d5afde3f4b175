//! Invoices that are paid on chain, and transactions as the verifier judges them, in a database.

use std::collections::BTreeMap;

use shared::chain::{Credit, Open, OpenReason, Verdict};
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::invoices::Rail;
use shared::ledger::audit;
use solana_pubkey::Pubkey;
use sqlx::PgPool;
use stack::Deployment;

/// Rails by the model's index.
pub const RAIL: [Rail; 3] = [Rail::SolNative, Rail::SolSplUsdc, Rail::SolSplUsdt];
/// Long enough for any sweep never to come.
const NEVER_MS: &str = "86400000";

/// The wallet that invoices ask to pay to.
pub fn recipient() -> Pubkey {
    Pubkey::new_from_array([7; 32])
}

/// The account that a rail's money arrives on.
pub fn account(rail: Rail) -> Pubkey {
    match rail {
        Rail::SolNative => recipient(),
        Rail::SolSplUsdc => Pubkey::new_from_array([8; 32]),
        _ => Pubkey::new_from_array([9; 32]),
    }
}

/// A deployment whose sweeps leave invoices alone; nothing follows a chain. The worker publishes events.
pub async fn quiet_deployment() -> Deployment {
    let builder = Deployment::builder().env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS);
    let deployment = builder.start().await.unwrap();
    for rail in RAIL {
        let token = (rail != Rail::SolNative).then(|| format!("token of {}", rail.id()));
        sqlx::query(
            "insert into deposit_accounts (account, rail, recipient, mint, token_program)
             values ($1, $2, $3, $4, $4)",
        )
        .bind(account(rail).to_string())
        .bind(rail.id())
        .bind(recipient().to_string())
        .bind(token)
        .execute(deployment.pool())
        .await
        .unwrap();
    }
    deployment
}

/// An invoice to create.
#[derive(Debug, Clone, Copy)]
pub struct Bill {
    /// What it is paid with.
    pub rail: Rail,
    /// Micro-USD.
    pub amount_micro: i64,
    /// Locked price of one whole token.
    pub rate_micro: Option<i64>,
    /// Whether it credits the balance; else it buys a month of `starter`.
    pub topup: bool,
}

/// A purchase for so many micro-dollars, paid in USDC: a base unit is a micro-dollar.
pub fn purchase(amount_micro: i64) -> Bill {
    Bill {
        rail: Rail::SolSplUsdc,
        amount_micro,
        rate_micro: None,
        topup: false,
    }
}

/// A top-up in USDC.
pub fn topup(amount_micro: i64) -> Bill {
    Bill {
        topup: true,
        ..purchase(amount_micro)
    }
}

/// Creates a pending invoice.
pub async fn bill(pool: &PgPool, owner: UserId, wanted: Bill) -> InvoiceId {
    let id = InvoiceId::generate();
    bill_as(pool, &id, owner, wanted).await;
    id
}

/// Creates a pending invoice of this id.
pub async fn bill_as(pool: &PgPool, id: &InvoiceId, owner: UserId, bill: Bill) {
    let (action, plan, months) = if bill.topup {
        ("topup", None, None)
    } else {
        ("subscription_purchase", Some("starter"), Some(1_i16))
    };
    sqlx::query(
        "insert into invoices (id, user_id, amount_micro, channel, rail, action, plan, months, fx_micro_per_token,
                               address, reference_pubkey, created_at, expires_at, grace_until)
         values ($1, $2, $3, 'crypto-onchain', $4, $5, $6, $7, $8, $9, $1, now() - interval '2 hours',
                 now() + interval '1 hour', now() + interval '2 hours')",
    )
    .bind(id.as_str())
    .bind(owner.0)
    .bind(bill.amount_micro)
    .bind(bill.rail.id())
    .bind(action)
    .bind(plan)
    .bind(months)
    .bind(bill.rate_micro)
    .bind(recipient().to_string())
    .execute(pool)
    .await
    .unwrap();
}

/// Lets an invoice's time run out, and its grace with it. No sweep has seen it.
pub async fn let_lapse(pool: &PgPool, invoice: &InvoiceId) {
    lapse(pool, invoice, true).await;
}

/// Lets an invoice's time run out; it waits for what had landed before.
pub async fn let_wait(pool: &PgPool, invoice: &InvoiceId) {
    lapse(pool, invoice, false).await;
}

async fn lapse(pool: &PgPool, invoice: &InvoiceId, for_good: bool) {
    // What waits for it is due when its grace ends.
    for statement in [
        "update invoices set created_at = now() - interval '2 hours', expires_at = least(expires_at, now()),
                             grace_until = case when $2 then now() else now() + interval '1 hour' end
         where id = $1 and status = 'pending' and grace_until > now()",
        "update chain_credits c set retry_at = i.grace_until from invoices i
         where i.id = $1 and c.invoice_id = i.id and c.retry_at > i.grace_until and c.waits_for is null and $2",
    ] {
        sqlx::query(statement)
            .bind(invoice.as_str())
            .bind(for_good)
            .execute(pool)
            .await
            .unwrap();
    }
}

/// A signature that no other test uses.
pub fn signature() -> String {
    format!("signature-{}", TraceId::generate().as_str())
}

/// A transaction's effect, put together: what it moved for invoices, and what for nobody.
#[derive(Debug, Clone, Default)]
pub struct Effects(pub Verdict);

impl Effects {
    /// One payment for one invoice in USDC.
    pub fn pays(invoice: &InvoiceId, units: u64) -> Self {
        Self::default().and(Rail::SolSplUsdc, invoice, units)
    }

    /// Also moves units for an invoice.
    pub fn and(mut self, rail: Rail, invoice: &InvoiceId, units: u64) -> Self {
        *self.0.gains.entry(account(rail)).or_default() += units;
        self.0.credits.push(Credit {
            account: account(rail),
            invoice: invoice.clone(),
            units,
        });
        self
    }

    /// Also moves units that are for no invoice.
    pub fn and_rest(mut self, rail: Rail, units: u64) -> Self {
        *self.0.gains.entry(account(rail)).or_default() += units;
        self.0.open.push(Open {
            account: account(rail),
            units,
            reason: OpenReason::Remainder,
            invoice: None,
            rail: Some(rail),
        });
        self
    }
}

/// What an invoice's row says.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct InvoiceRow {
    /// Its state.
    pub status: String,
    /// Shown as received.
    pub payments_received_micro: i64,
    /// Waits for finality; of interest while it is pending.
    pub confirming: bool,
    /// Position of its stream.
    pub version: i64,
    /// What came out of the treasury for it.
    pub treasury_micro: i64,
}

/// Invoices as the database has them.
pub async fn invoices(pool: &PgPool, ids: &[InvoiceId]) -> Vec<InvoiceRow> {
    let ids: Vec<&str> = ids.iter().map(InvoiceId::as_str).collect();
    sqlx::query_as(
        "select i.status, i.payments_received_micro, i.payment_confirming and i.status = 'pending' as confirming,
                i.version, coalesce((select sum(t.amount_micro) from transfers t
                    where t.ref_invoice_id = i.id and starts_with(t.debit_account, 'treasury:')), 0)::bigint
                as treasury_micro
         from unnest($1::text[]) with ordinality as q (id, ord) join invoices i using (id) order by q.ord",
    )
    .bind(ids)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Status and progress of one invoice.
pub async fn standing(pool: &PgPool, invoice: &InvoiceId) -> (String, i64) {
    let row = invoices(pool, std::slice::from_ref(invoice))
        .await
        .remove(0);
    (row.status, row.payments_received_micro)
}

/// Months bought by each user.
pub async fn months(pool: &PgPool, users: &[UserId]) -> Vec<i64> {
    let ids: Vec<_> = users.iter().map(|user| user.0).collect();
    let bought: Vec<(uuid::Uuid, i64)> = sqlx::query_as(
        "select user_id, sum(months_purchased)::bigint from subscriptions where user_id = any($1) group by user_id",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await
    .unwrap();
    let bought: BTreeMap<_, _> = bought.into_iter().collect();
    ids.iter()
        .map(|id| bought.get(id).copied().unwrap_or_default())
        .collect()
}

/// What a transaction left for operators: id, units, reason, invoice and resolution, in order of listing.
pub type Listed = (i64, i64, String, Option<String>, Option<String>);

/// What waits or waited for operators because of a transaction.
pub async fn listed(pool: &PgPool, signature: &str) -> Vec<Listed> {
    sqlx::query_as(
        "select id, units::bigint, reason, invoice_id, resolution from unattributed_deposits where signature = $1 order by id",
    )
    .bind(signature)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Every invariant of the ledger holds.
pub async fn assert_audited(pool: &PgPool) {
    let audited = audit(pool, std::time::Duration::from_secs(20))
        .await
        .unwrap();
    let failed: Vec<_> = audited.checks.iter().filter(|check| !check.ok).collect();
    assert!(audited.ok, "{failed:#?}");
}
