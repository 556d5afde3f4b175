//! `GET /ops/v1/dust`: deposits below the threshold, counted for each account.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::ledger::exact_units;
use time::OffsetDateTime;

use super::page::ListQuery;
use crate::app::App;
use crate::http::flat::FlatError;

/// The answer.
#[derive(Serialize)]
pub struct DustList {
    dust: Vec<DustView>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct DustView {
    account: String,
    rail: String,
    deposits: i64,
    units: i128,
    #[serde(with = "time::serde::rfc3339")]
    last_at: OffsetDateTime,
}

/// Lists the accounts that dust came to.
pub async fn list_dust(
    State(app): State<App>,
    query: ListQuery,
) -> Result<Json<DustList>, FlatError> {
    let page = query.page::<String>("dust")?;
    let rows = sqlx::query!(
        r#"select s.account, d.rail, s.deposits, s.units::text as "units!", s.last_at
           from deposit_dust s join deposit_accounts d using (account)
           where $1::text is null or s.account > $1 order by s.account limit $2"#,
        page.after,
        i64::from(page.read_limit())
    )
    .fetch_all(&app.pool)
    .await?;
    let dust = rows.into_iter().map(|row| {
        Ok(DustView {
            account: row.account,
            rail: row.rail,
            deposits: row.deposits,
            units: exact_units(&row.units)?,
            last_at: row.last_at,
        })
    });
    let dust = dust.collect::<Result<Vec<_>, sqlx::Error>>()?;
    let (dust, next_cursor) = page.cut(dust, |row| row.account.clone());
    Ok(Json(DustList { dust, next_cursor }))
}
