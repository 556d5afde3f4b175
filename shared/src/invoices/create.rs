//! Creating invoices: once per client request id, and only so many unpaid ones a user.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor, PgPool};

use super::read::Row;
use super::{BillAction, Channel, Invoice, InvoiceError, Rail};
use crate::db::{begin, interval};
use crate::ids::{InvoiceId, UserId};

/// The longest an invoice may live (contract §4.1 is silent; this is our bound), and so how far back a pending
/// one can have been created.
pub const TTL_SECONDS_MAX: i64 = 86_400;

/// A checked and priced request for an invoice.
#[derive(Debug, Clone)]
pub struct NewInvoice {
    /// The owner.
    pub user_id: UserId,
    /// Due, micro-USD.
    pub amount_micro: i64,
    /// The line item's text.
    pub description: String,
    /// How it will be paid.
    pub channel: Channel,
    /// With what.
    pub rail: Rail,
    /// What for.
    pub action: BillAction,
    /// Idempotency key and the hash of the request it stands for.
    pub request: Option<(String, [u8; 32])>,
    /// Locked price of one whole token, micro-USD.
    pub fx_micro_per_token: Option<i64>,
    /// Deposit address.
    pub address: String,
    /// How long it may stay unpaid.
    pub ttl_seconds: u32,
    /// How long after that it waits at most for what had landed before.
    pub wait: Duration,
}

/// What a creation led to.
#[derive(Debug)]
pub enum Created {
    /// A new invoice.
    New(Invoice),
    /// The one that the same request made before, as it stands now.
    Replayed(Invoice),
}

/// Why an invoice was not created; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The request id belongs to another request.
    #[error("client_request_id was used for another request")]
    RequestConflict,
    /// The user has as many unpaid invoices as allowed.
    #[error("too many unpaid invoices")]
    TooManyPending,
    /// The user does not exist (any more).
    #[error("no such user")]
    UnknownUser,
    /// The invoice could not be stored.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Invoice(error.into())
    }
}

/// Creates an invoice, or finds the one this request made before.
pub async fn create(
    pool: &PgPool,
    new: NewInvoice,
    pending_max: i64,
) -> Result<Created, CreateError> {
    let mut transaction = begin(pool).await?;
    // The lock orders this user's creations, so that neither the key nor the cap can be raced.
    sqlx::query!(
        "select id from users where id = $1 for no key update",
        new.user_id.0
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(CreateError::UnknownUser)?;

    if let Some((request_id, hash)) = &new.request
        && let Some(before) = find_by_request(&mut *transaction, new.user_id, request_id).await?
    {
        let same = before.client_request_hash.as_deref() == Some(hash.as_slice());
        return if same {
            Ok(Created::Replayed(before))
        } else {
            Err(CreateError::RequestConflict)
        };
    }
    if count_pending(&mut transaction, new.user_id, pending_max).await? >= pending_max {
        return Err(CreateError::TooManyPending);
    }
    let invoice = insert(&mut transaction, &new).await?;
    transaction.commit().await?;
    Ok(Created::New(invoice))
}

/// The invoice that this user made with this `client_request_id`, as it stands now.
pub async fn find_by_request(
    executor: impl PgExecutor<'_>,
    user: UserId,
    request_id: &str,
) -> Result<Option<Invoice>, InvoiceError> {
    let row = sqlx::query_file_as!(Row, "src/invoices/find_by_request.sql", user.0, request_id)
        .fetch_optional(executor)
        .await?;
    row.map(Invoice::try_from).transpose()
}

/// Counts up to `enough`. The creation time bounds the scan: no index names the status.
async fn count_pending(
    connection: &mut PgConnection,
    user: UserId,
    enough: i64,
) -> Result<i64, InvoiceError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from invoices
               where user_id = $1 and created_at > now() - make_interval(secs => $3)
                 and status = 'pending' and expires_at > now()
               limit $2) as pending"#,
        user.0,
        enough,
        f64::from(u32::try_from(TTL_SECONDS_MAX).unwrap_or(u32::MAX))
    )
    .fetch_one(connection)
    .await?)
}

async fn insert(connection: &mut PgConnection, new: &NewInvoice) -> Result<Invoice, InvoiceError> {
    let (plan, months) = new.action.subscription().unzip();
    let (request_id, request_hash) = new
        .request
        .as_ref()
        .map(|(id, hash)| (id, hash.as_slice()))
        .unzip();
    // Any 32 bytes serve as a reference: it marks a payment, nobody signs with it.
    let reference = bs58::encode(rand::random::<[u8; 32]>()).into_string();
    let id = InvoiceId::generate();
    let row = sqlx::query_file_as!(
        Row,
        "src/invoices/insert.sql",
        id.as_str(),
        new.user_id.0,
        new.amount_micro,
        new.description,
        new.channel.name(),
        new.rail.id(),
        new.action.kind(),
        plan.map(super::Plan::name),
        months,
        request_id,
        request_hash,
        new.fx_micro_per_token,
        new.address,
        reference,
        f64::from(new.ttl_seconds),
        interval(new.wait)
    )
    .fetch_one(connection)
    .await?;
    row.try_into()
}
