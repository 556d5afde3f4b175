//! When a transaction that was heard of is given up. Absence is not proof: in several rounds over a while every node of the
//! configuration must have answered, and none may have a trace of it, by its status, by the transaction itself, or by the
//! history of the accounts that it paid. What is given up is asked for again for days ([`crate::lost`]).

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use shared::chain::{Commitment, Judgement, Look, Node, NodeError, Standing, Testimony, judge};
use shared::ids::TraceId;
use shared::settlement::reverse_chain_payment;

use crate::context::Context;
use crate::examine::ExamineError;
use crate::lost;
use crate::weigh::Effect;

/// Rows of a history that a node gives at once, and how many times it is asked: what lies deeper is not looked for, and so
/// nothing is decided.
const PAGE: usize = 1000;
const PAGES_MAX: usize = 10;

/// The pause between two rounds: so that all of them fit into the while.
#[must_use]
pub fn pause(context: &Context) -> Duration {
    let watcher = &context.config.watcher;
    Duration::from_millis(watcher.watch_gone_after_ms) / watcher.watch_gone_rounds
}

/// Whether every node answers and none has a trace, for something that was found and never recorded; counts the round.
/// Gives it up if it was the last one.
pub async fn look(context: &Context, signature: &str, slot: u64) -> Result<(), ExamineError> {
    let asked = context.nodes.each().map(async |node| {
        if let Look::Absent = node.look(signature, Commitment::Finalized).await? {
            let standings = node.standings(&[signature.to_owned()]).await?;
            Ok::<_, NodeError>(standings.first().copied())
        } else {
            Ok(None)
        }
    });
    // One that fails has not answered.
    let Ok(answers) = try_join_all(asked).await else {
        return Ok(());
    };
    let testimonies: Vec<Testimony<Effect>> = answers.into_iter().map(testimony).collect();
    match judge(&testimonies, slot, context.nodes.agreement()) {
        Judgement::Absent => count(context, signature, slot).await.map(drop),
        Judgement::Final(_) | Judgement::Open | Judgement::Unheard | Judgement::Disputed => Ok(()),
    }
}

fn testimony(standing: Option<Standing>) -> Testimony<Effect> {
    standing.map_or(Testimony::Silent, Testimony::Lacks)
}

/// Counts a round in which every node answered that there is no trace of it, if histories say so, too; true when that
/// made it given up.
pub async fn count(context: &Context, signature: &str, slot: u64) -> Result<bool, ExamineError> {
    let accounts = sqlx::query_scalar!(
        "select account from chain_payments where signature = $1 and state <> 'reversed'",
        signature
    )
    .fetch_all(&context.pool)
    .await?;
    for account in &accounts {
        let looks = context
            .nodes
            .each()
            .map(|node| has_missed(node, account, signature, slot));
        // One that fails, or has more than is looked through, has not answered.
        match try_join_all(looks).await {
            Ok(missed) if missed.iter().all(|missed| *missed) => {}
            Ok(_) | Err(_) => return Ok(false),
        }
    }
    let watcher = &context.config.watcher;
    let is_over = sqlx::query_scalar!(
        r#"update chain_signatures
           set absences = least(absences + 1, 1000), absent_since = coalesce(absent_since, clock_timestamp())
           where signature = $1 and taken_by = $2
           returning absences >= $3 and clock_timestamp() >= absent_since + $4 as "is_over!""#,
        signature,
        context.id,
        i16::try_from(watcher.watch_gone_rounds).unwrap_or(i16::MAX),
        shared::db::interval(Duration::from_millis(watcher.watch_gone_after_ms))
    )
    .fetch_optional(&context.pool)
    .await?;
    if is_over != Some(true) {
        return Ok(false);
    }
    take_back(context, signature, slot).await?;
    Ok(true)
}

/// Whether a node's history of an account goes back to before this slot without the signature.
async fn has_missed(
    node: &Node,
    account: &str,
    signature: &str,
    slot: u64,
) -> Result<bool, NodeError> {
    let mut before: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let page = node
            .history(account, before.as_deref(), None, PAGE, 0)
            .await?;
        if page.iter().any(|row| row.signature == signature) {
            return Ok(false);
        }
        match page.last() {
            Some(oldest) if page.len() >= PAGE && oldest.slot >= slot => {
                before = Some(oldest.signature.clone());
            }
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// Takes a confirmation back, and goes on asking for it, ever more rarely.
async fn take_back(context: &Context, signature: &str, slot: u64) -> Result<(), ExamineError> {
    let trace = TraceId::generate();
    let price = context.prices.sol_micro();
    let reversed = reverse_chain_payment(&context.pool, signature, price, &trace)
        .await
        .map_err(Arc::new)?;
    if let Some(publication) = reversed {
        tracing::warn!(signature, slot, trace_id = %trace, "payment_reversed");
        metrics::counter!("quittance_chain_reversals_total").increment(1);
        if let Some(publication) = publication {
            context.publisher.publish(publication);
        }
    }
    lost::drop_signature(context, signature).await?;
    Ok(())
}

/// Somebody knows it after all: rounds are counted anew.
pub async fn forget(context: &Context, signature: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chain_signatures set absences = 0, absent_since = null where signature = $1 and absences > 0",
        signature
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}
