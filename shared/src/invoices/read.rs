//! Reading invoices. Past its expiry a pending invoice reads as expired, swept or not; Postgres' clock decides.

use sqlx::PgPool;
use time::OffsetDateTime;

use super::{BillAction, Channel, InvoiceError, Rail};
use crate::ids::{InvoiceId, TraceId, UserId};

/// Where an invoice stands (contract §3). All but pending are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceStatus {
    /// Waiting for money.
    Pending,
    /// Settled.
    Paid,
    /// Its time ran out.
    Expired,
    /// Its owner gave it up.
    Cancelled,
}

impl InvoiceStatus {
    /// The status of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Paid, Self::Expired, Self::Cancelled]
            .into_iter()
            .find(|status| status.name() == name)
    }

    /// Its name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more can happen to the invoice.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self != Self::Pending
    }
}

/// An invoice as it stands.
#[derive(Debug, Clone)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Its owner.
    pub user_id: UserId,
    /// Where it stands now.
    pub status: InvoiceStatus,
    /// Position of its event stream.
    pub version: i64,
    /// Due, micro-USD.
    pub amount_micro: i64,
    /// Seen on chain so far, micro-USD.
    pub payments_received_micro: i64,
    /// The line item's text.
    pub description: String,
    /// How it is paid.
    pub channel: Channel,
    /// With what it is paid.
    pub rail: Rail,
    /// What paying it does.
    pub action: BillAction,
    /// The creator's idempotency key.
    pub client_request_id: Option<String>,
    /// Hash of the creating request.
    pub client_request_hash: Option<Vec<u8>>,
    /// Locked price of one whole token, micro-USD.
    pub fx_micro_per_token: Option<i64>,
    /// Deposit address.
    pub address: String,
    /// Key that marks its payments on chain.
    pub reference_pubkey: String,
    /// Creation.
    pub created_at: OffsetDateTime,
    /// End of its time.
    pub expires_at: OffsetDateTime,
    /// Settlement.
    pub paid_at: Option<OffsetDateTime>,
    /// When its action was applied.
    pub processed_at: Option<OffsetDateTime>,
}

/// The row as the database types it.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) user_id: uuid::Uuid,
    pub(super) status: String,
    pub(super) version: i64,
    pub(super) amount_micro: i64,
    pub(super) payments_received_micro: i64,
    pub(super) description: String,
    pub(super) channel: String,
    pub(super) rail: String,
    pub(super) action: String,
    pub(super) plan: Option<String>,
    pub(super) months: Option<i16>,
    pub(super) client_request_id: Option<String>,
    pub(super) client_request_hash: Option<Vec<u8>>,
    pub(super) fx_micro_per_token: Option<i64>,
    pub(super) address: String,
    pub(super) reference_pubkey: String,
    pub(super) created_at: OffsetDateTime,
    pub(super) expires_at: OffsetDateTime,
    pub(super) paid_at: Option<OffsetDateTime>,
    pub(super) processed_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Invoice {
    type Error = InvoiceError;

    fn try_from(row: Row) -> Result<Self, InvoiceError> {
        let unknown = |column, value: &str| InvoiceError::UnknownValue {
            invoice: row.id.clone(),
            column,
            value: value.to_owned(),
        };
        let action =
            BillAction::from_parts(&row.action, row.plan.as_deref(), row.months.map(i64::from))
                .map_err(|_| unknown("action", &row.action))?;
        Ok(Self {
            status: InvoiceStatus::parse(&row.status)
                .ok_or_else(|| unknown("status", &row.status))?,
            channel: Channel::parse(&row.channel)
                .ok_or_else(|| unknown("channel", &row.channel))?,
            rail: Rail::parse(&row.rail).ok_or_else(|| unknown("rail", &row.rail))?,
            action,
            id: InvoiceId::from_row(row.id),
            user_id: UserId(row.user_id),
            version: row.version,
            amount_micro: row.amount_micro,
            payments_received_micro: row.payments_received_micro,
            description: row.description,
            client_request_id: row.client_request_id,
            client_request_hash: row.client_request_hash,
            fx_micro_per_token: row.fx_micro_per_token,
            address: row.address,
            reference_pubkey: row.reference_pubkey,
            created_at: row.created_at,
            expires_at: row.expires_at,
            paid_at: row.paid_at,
            processed_at: row.processed_at,
        })
    }
}

/// Reads one invoice, whoever owns it.
pub async fn find(pool: &PgPool, id: &InvoiceId) -> Result<Option<Invoice>, InvoiceError> {
    let row = sqlx::query_file_as!(Row, "src/invoices/find.sql", id.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(Invoice::try_from).transpose()
}

/// Where an invoice stands as it is stored, and whether its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Pending until somebody has ended it, whatever the clock says.
    pub status: InvoiceStatus,
    /// Its time is over.
    pub is_overdue: bool,
}

/// Reads where an invoice stands, for whom swept and only overdue are two things. It must exist.
pub async fn standing(pool: &PgPool, id: &InvoiceId) -> Result<Standing, InvoiceError> {
    let row = sqlx::query!(
        r#"select status, expires_at <= now() as "is_overdue!" from invoices where id = $1"#,
        id.as_str()
    )
    .fetch_one(pool)
    .await?;
    let status = InvoiceStatus::parse(&row.status).ok_or_else(|| InvoiceError::UnknownValue {
        invoice: id.to_string(),
        column: "status",
        value: row.status,
    })?;
    Ok(Standing {
        status,
        is_overdue: row.is_overdue,
    })
}

/// Whether one of these keys is the reference of another invoice, whatever became of it.
pub async fn names_other_invoice(
    pool: &PgPool,
    id: &InvoiceId,
    keys: &[String],
) -> Result<bool, InvoiceError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from invoices where reference_pubkey = any($1) and id <> $2) as "names!""#,
        keys,
        id.as_str()
    )
    .fetch_one(pool)
    .await?)
}

/// Which invoices to list.
#[derive(Debug, Clone, Copy)]
pub struct ListFilter {
    /// Only those that stand so now.
    pub status: Option<InvoiceStatus>,
    /// At most so many.
    pub limit: i64,
    /// After skipping so many.
    pub offset: i64,
}

/// A user's invoices, newest first.
pub async fn list(
    pool: &PgPool,
    user: UserId,
    filter: ListFilter,
) -> Result<Vec<Invoice>, InvoiceError> {
    let rows = sqlx::query_file_as!(
        Row,
        "src/invoices/list.sql",
        user.0,
        filter.status.map(InvoiceStatus::name),
        filter.limit,
        filter.offset
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Invoice::try_from).collect()
}

/// The newest event of an invoice's stream as its publishing would have sent it; `None` for an unknown invoice.
pub async fn missed_event(
    pool: &PgPool,
    id: &InvoiceId,
    trace: &TraceId,
) -> Result<Option<String>, InvoiceError> {
    Ok(sqlx::query_scalar!(
        r#"select invoice_message(i, case i.status when 'pending' then 'invoice_progress' else 'invoice_' || i.status end,
                                  $2, now())::text as "message!"
           from invoices i where i.id = $1"#,
        id.as_str(),
        trace.as_str()
    )
    .fetch_optional(pool)
    .await?)
}
