//! The action log: who reads it learns what operators did and what came of it. Written in the action's own
//! transaction, refused actions included.

use serde_json::Value;
use shared::ids::TraceId;
use sqlx::PgConnection;

/// Something an operator did.
pub struct Action<'a> {
    /// What.
    pub name: &'static str,
    /// To whom or what.
    pub target: String,
    /// With which parameters. Never secrets.
    pub detail: Value,
    /// What came of it: `done` or the error.
    pub outcome: &'static str,
    /// The request.
    pub trace: &'a TraceId,
}

/// Appends an action to the log.
pub async fn record(connection: &mut PgConnection, action: Action<'_>) -> Result<(), sqlx::Error> {
    let Action {
        name,
        target,
        detail,
        outcome,
        trace,
    } = action;
    tracing::info!(action = name, target, outcome, "operator action");
    sqlx::query!(
        "insert into operator_actions (action, target, detail, outcome, trace_id) values ($1, $2, $3, $4, $5)",
        name,
        target,
        detail,
        outcome,
        trace.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}
