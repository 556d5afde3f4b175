//! `GET /v1/billing/invoices` (contract §4.2): the caller's invoices, newest first, without how to pay them.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use shared::invoices::{InvoiceStatus, ListFilter, list};

use super::invoice_view::InvoiceView;
use super::query::QueryPairs;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::Session;

const LIMIT_DEFAULT: u16 = 20;
const LIMIT_MAX: u16 = 100;

/// The answer.
#[derive(Serialize)]
pub struct InvoiceList {
    invoices: Vec<InvoiceView>,
}

/// Lists invoices.
pub async fn list_invoices(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    query: QueryPairs,
) -> Result<Json<InvoiceList>, FlatError> {
    let status = match query.text("status").filter(|status| !status.is_empty()) {
        Some(name) => {
            Some(InvoiceStatus::parse(name).ok_or_else(|| FlatError::bad_request("bad status"))?)
        }
        None => None,
    };
    let limit = i64::from(query.limit(LIMIT_DEFAULT, LIMIT_MAX));
    let offset = query.positive("offset").unwrap_or(0);
    let invoices = list(
        &app.pool,
        session.user_id,
        ListFilter {
            status,
            limit,
            offset,
        },
    )
    .await?;
    Ok(Json(InvoiceList {
        invoices: invoices.into_iter().map(InvoiceView::base).collect(),
    }))
}
