//! `GET /ops/v1/unattributed`: money on chain that nobody was credited with, and transactions that could not be judged.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::InvoiceId;
use shared::invoices::Rail;
use shared::ledger::exact_units;
use time::OffsetDateTime;

use super::page::{ListQuery, Page};
use crate::app::App;
use crate::http::flat::FlatError;

/// The list.
#[derive(Serialize)]
pub struct UnattributedList {
    unattributed: Vec<UnattributedView>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct UnattributedView {
    id: i64,
    signature: String,
    /// Null when the transaction could not be read.
    account: Option<String>,
    rail: Option<String>,
    units: Option<i128>,
    /// When it was found; null when it was not known.
    worth_micro: Option<i64>,
    reason: String,
    detail: Option<Value>,
    /// The invoice it may belong to, or was given to.
    invoice_id: Option<String>,
    /// To whom it was given.
    user_id: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    found_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    resolved_at: Option<OffsetDateTime>,
    resolution: Option<String>,
    note: Option<String>,
}

/// Where a deposit stands: by its number, and before that by its worth if that is the order.
#[derive(Serialize, Deserialize)]
struct Place {
    worth_micro: Option<i64>,
    id: i64,
}

/// Lists what waits, or waited: by `state`, `reason`, `rail`, `account`, `invoice_id` and `signature`, in this `order`.
pub async fn list_unattributed(
    State(app): State<App>,
    query: ListQuery,
) -> Result<Json<UnattributedList>, FlatError> {
    let order = query.choice("order", &["newest", "oldest", "worth"])?;
    let page = query.page::<Place>(match order {
        "oldest" => "unattributed/oldest",
        "worth" => "unattributed/worth",
        _ => "unattributed/newest",
    })?;
    let rows = read(&app, &query, order, &page).await?;
    let (unattributed, next_cursor) = page.cut(rows, |row| Place {
        worth_micro: row.worth_micro,
        id: row.id,
    });
    Ok(Json(UnattributedList {
        unattributed,
        next_cursor,
    }))
}

async fn read(
    app: &App,
    query: &ListQuery,
    order: &str,
    page: &Page<Place>,
) -> Result<Vec<UnattributedView>, FlatError> {
    let rail = query.parsed("rail", Rail::parse)?;
    let invoice = query.parsed("invoice_id", InvoiceId::parse)?;
    let rows = sqlx::query!(
        r#"select u.id as "id!", u.signature as "signature!", u.account, u.units::text as units, u.worth_micro,
                  u.reason as "reason!", u.detail, u.invoice_id, u.user_id::text as user_id, u.found_at as "found_at!",
                  u.resolved_at, u.resolution, u.note,
                  (select d.rail from deposit_accounts d where d.account = u.account) as rail
           from unattributed_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) with ordinality u order by u.ordinality"#,
        query.choice("state", &["open", "resolved", "all"])?,
        order,
        query.text("reason")?,
        rail.map(Rail::id),
        query.text("account")?,
        invoice.as_ref().map(InvoiceId::as_str),
        query.text("signature")?,
        page.after.as_ref().and_then(|place| place.worth_micro),
        page.after.as_ref().map(|place| place.id),
        page.read_limit()
    )
    .fetch_all(&app.pool)
    .await?;
    let views = rows.into_iter().map(|row| {
        Ok(UnattributedView {
            id: row.id,
            signature: row.signature,
            account: row.account,
            rail: row.rail,
            units: row.units.as_deref().map(exact_units).transpose()?,
            worth_micro: row.worth_micro,
            reason: row.reason,
            detail: row.detail,
            invoice_id: row.invoice_id,
            user_id: row.user_id,
            found_at: row.found_at,
            resolved_at: row.resolved_at,
            resolution: row.resolution,
            note: row.note,
        })
    });
    views.collect()
}
