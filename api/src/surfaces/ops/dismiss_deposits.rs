//! `POST /ops/v1/unattributed/dismiss`: takes many deposits off the list without moving money, a bounded number with
//! each call.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::db::begin;
use shared::ids::TraceId;
use shared::invoices::Rail;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::action::{Action, record};
use super::deposit::check_note;
use super::page::{bad, plain};
use crate::app::App;
use crate::http::flat::FlatError;
use crate::http::json::JsonBody;

/// Deposits of one call at most.
const DISMISSED_MAX: usize = 500;
/// What remains is not counted further than this.
const REMAINING_MAX: i64 = 10_000;

/// Which deposits, by their numbers or by what they have in common, and why nothing is done about them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DismissMany {
    ids: Option<Vec<i64>>,
    filter: Option<Filter>,
    note: String,
}

/// What they have in common: all that is said.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// What is of unknown worth may be worth anything, and is not below this.
    #[serde(skip_serializing_if = "Option::is_none")]
    worth_below_micro: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found_before: Option<String>,
}

/// What was done, and how much of the same is still to do.
#[derive(Serialize)]
pub struct Dismissed {
    dismissed: u64,
    /// Call again while there are any; not counted further than 10,000.
    remaining: i64,
}

enum Chosen {
    Numbers(Vec<i64>),
    Alike(Filter, Option<OffsetDateTime>),
}

/// Dismisses; what another operator is deciding about at this moment is left and counted as remaining.
pub async fn dismiss_deposits(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    JsonBody(body): JsonBody<DismissMany>,
) -> Result<Json<Dismissed>, FlatError> {
    check_note(&body.note)?;
    let note = body.note.clone();
    let chosen = choose(body)?;
    let mut transaction = begin(&app.pool).await?;
    let done = match &chosen {
        Chosen::Numbers(ids) => dismiss_numbered(&mut transaction, ids, &note).await?,
        Chosen::Alike(filter, found_before) => {
            dismiss_alike(&mut transaction, filter, *found_before, &note).await?
        }
    };
    let (target, what) = match &chosen {
        Chosen::Numbers(ids) => ("ids", json!(ids)),
        Chosen::Alike(filter, _) => ("filter", json!(filter)),
    };
    let mut detail =
        json!({"note": note, "dismissed": done.dismissed, "remaining": done.remaining});
    if let Value::Object(fields) = &mut detail {
        fields.insert(target.to_owned(), what);
    }
    let action = Action {
        name: "unattributed.dismiss_many",
        target: target.to_owned(),
        detail,
        outcome: "done",
        trace: &trace,
    };
    record(&mut transaction, action).await?;
    transaction.commit().await?;
    Ok(Json(done))
}

fn choose(body: DismissMany) -> Result<Chosen, FlatError> {
    match (body.ids, body.filter) {
        (Some(ids), None) if !ids.is_empty() && ids.len() <= DISMISSED_MAX => {
            Ok(Chosen::Numbers(ids))
        }
        (None, Some(filter)) => {
            let found_before = check_filter(&filter)?;
            Ok(Chosen::Alike(filter, found_before))
        }
        (_, Some(_)) => Err(bad("filter")),
        (_, None) => Err(bad("ids")),
    }
}

/// Returns the time it names. An empty filter would be everything.
fn check_filter(filter: &Filter) -> Result<Option<OffsetDateTime>, FlatError> {
    let found_before = filter
        .found_before
        .as_deref()
        .map(|text| OffsetDateTime::parse(text, &Rfc3339).map_err(|_| bad("found_before")));
    let is_plain = |text: &Option<String>| text.as_deref().is_none_or(|text| plain(text).is_some());
    let says_nothing = filter.reason.is_none()
        && filter.rail.is_none()
        && filter.account.is_none()
        && filter.worth_below_micro.is_none()
        && filter.found_before.is_none();
    if says_nothing {
        Err(bad("filter"))
    } else if !is_plain(&filter.reason) {
        Err(bad("reason"))
    } else if filter
        .rail
        .as_deref()
        .is_some_and(|rail| Rail::parse(rail).is_none())
    {
        Err(bad("rail"))
    } else if !is_plain(&filter.account) {
        Err(bad("account"))
    } else if filter.worth_below_micro.is_some_and(|worth| worth <= 0) {
        Err(bad("worth_below_micro"))
    } else {
        found_before.transpose()
    }
}

async fn dismiss_numbered(
    connection: &mut PgConnection,
    ids: &[i64],
    note: &str,
) -> Result<Dismissed, sqlx::Error> {
    let dismissed = sqlx::query!(
        "update unattributed_deposits u set resolved_at = now(), resolution = 'dismissed', note = $2
         where u.id = any(array(select w.id from unattributed_deposits w
                                where w.id = any($1) and w.resolved_at is null order by w.id for update skip locked))",
        ids,
        note
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let remaining = sqlx::query_scalar!(
        r#"select count(*) as "count!" from unattributed_deposits where id = any($1) and resolved_at is null"#,
        ids
    )
    .fetch_one(connection)
    .await?;
    Ok(Dismissed {
        dismissed,
        remaining,
    })
}

async fn dismiss_alike(
    connection: &mut PgConnection,
    filter: &Filter,
    found_before: Option<OffsetDateTime>,
    note: &str,
) -> Result<Dismissed, sqlx::Error> {
    let dismissed = sqlx::query!(
        "update unattributed_deposits u set resolved_at = now(), resolution = 'dismissed', note = $6
         where u.id = any(array(
             select w.id from unattributed_deposits w
             where w.resolved_at is null
               and ($1::text is null or w.reason = $1)
               and ($2::text is null
                    or w.account = any(array(select d.account from deposit_accounts d where d.rail = $2)))
               and ($3::text is null or w.account = $3)
               and ($4::bigint is null or w.worth_micro < $4)
               and ($5::timestamptz is null or w.found_at < $5)
             order by w.id limit $7 for update skip locked))",
        filter.reason,
        filter.rail,
        filter.account,
        filter.worth_below_micro,
        found_before,
        note,
        i64::try_from(DISMISSED_MAX).unwrap_or(i64::MAX)
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let remaining = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
             select from unattributed_deposits w
             where w.resolved_at is null
               and ($1::text is null or w.reason = $1)
               and ($2::text is null
                    or w.account = any(array(select d.account from deposit_accounts d where d.rail = $2)))
               and ($3::text is null or w.account = $3)
               and ($4::bigint is null or w.worth_micro < $4)
               and ($5::timestamptz is null or w.found_at < $5)
             limit $6) as w"#,
        filter.reason,
        filter.rail,
        filter.account,
        filter.worth_below_micro,
        found_before,
        REMAINING_MAX
    )
    .fetch_one(connection)
    .await?;
    Ok(Dismissed {
        dismissed,
        remaining,
    })
}
