//! One signature: fetched raw, decoded, judged by what it did, recorded. Twice is like once.

use std::sync::Arc;

use serde_json::Value;
use shared::chain::{
    ChainTransaction, Commitment, Look, NodeError, Shown, TaggedInvoice, Unreadable, Verdict,
    verify,
};
use shared::ids::InvoiceId;
use shared::invoices::Rail;
use shared::settlement::{ChainPayment, SettlementError};
use sqlx::PgExecutor;

use crate::context::Context;
use crate::weigh::{Effect, Waited, Weighed, report_dispute, weigh};

/// What looking led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined {
    /// Everything it did is recorded, at this slot, and its signature has moved on.
    Recorded(u64),
    /// No node has it at this commitment, yet.
    Waiting,
    /// Some node has it, which is not enough.
    Seen,
    /// Every node answered, and none has a trace of it where it must have been.
    Absent,
    /// It is beyond this program, or the nodes, and is listed for an operator until it can be read after all.
    Listed,
    /// Nodes contradict each other about it; it is listed until they do not.
    Disputed,
    /// What it did is not filled in anywhere, as is usual for a moment.
    NoEffects,
}

/// Why it could not be examined now; it is due again soon.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// No node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A settlement that may succeed later; of a group all share it.
    #[error(transparent)]
    Settlement(#[from] Arc<SettlementError>),
}

/// Examines a signature that was heard of. What it pays is only shown, so one node's word is enough, unless confirmed
/// payments settle.
pub async fn examine_confirmed(
    context: &Context,
    signature: &str,
) -> Result<Examined, ExamineError> {
    if context.config.chain.settles_at_confirmed() {
        let weighed = weigh(context, signature, 0, Commitment::Confirmed, Waited::Hardly).await?;
        return conclude(context, signature, Commitment::Confirmed, weighed).await;
    }
    let Shown { transaction, .. } =
        match context.nodes.look(signature, Commitment::Confirmed).await? {
            Look::Shown(shown) => *shown,
            Look::Absent => return Ok(Examined::Waiting),
            Look::Unreadable(unreadable) => {
                return set_unreadable(context, signature, unreadable).await;
            }
        };
    let tagged = tagged_invoices(&context.pool, &transaction).await?;
    let accounts = context.accounts.borrow().clone();
    let verdict = verify(&transaction, &accounts, &tagged);
    record(context, &transaction, Commitment::Confirmed, verdict).await
}

/// Examines a signature that should be final: settled is what enough nodes show alike.
pub async fn examine_final(
    context: &Context,
    signature: &str,
    slot: u64,
    waited: Waited,
) -> Result<Examined, ExamineError> {
    let weighed = weigh(context, signature, slot, Commitment::Finalized, waited).await?;
    conclude(context, signature, Commitment::Finalized, weighed).await
}

async fn conclude(
    context: &Context,
    signature: &str,
    commitment: Commitment,
    weighed: Weighed,
) -> Result<Examined, ExamineError> {
    match weighed {
        Weighed::Settled(effect) => {
            let Effect { shown, verdict } = *effect;
            record(context, &shown.transaction, commitment, verdict).await
        }
        Weighed::Absent => Ok(Examined::Absent),
        Weighed::Open => Ok(Examined::Waiting),
        Weighed::Seen => Ok(Examined::Seen),
        Weighed::Unreadable(unreadable) => set_unreadable(context, signature, unreadable).await,
        Weighed::Disputed(answers) => {
            report_dispute(signature, &answers);
            list(context, signature, "disputed", Some(&answers)).await?;
            Ok(Examined::Disputed)
        }
    }
}

async fn set_unreadable(
    context: &Context,
    signature: &str,
    unreadable: Unreadable,
) -> Result<Examined, ExamineError> {
    match unreadable {
        Unreadable::NoEffects => Ok(Examined::NoEffects),
        Unreadable::Version | Unreadable::Garbled => {
            list(context, signature, unreadable.name(), None).await?;
            Ok(Examined::Listed)
        }
    }
}

/// Invoices, in whatever state, whose references the transaction names.
pub async fn tagged_invoices(
    executor: impl PgExecutor<'_>,
    transaction: &ChainTransaction,
) -> Result<Vec<TaggedInvoice>, sqlx::Error> {
    let keys: Vec<String> = transaction.keys.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        "select id, reference_pubkey, rail, address from invoices where reference_pubkey = any($1)",
        &keys
    )
    .fetch_all(executor)
    .await?;
    // Rows of rails that are not on this chain name no key of it.
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(TaggedInvoice {
                id: InvoiceId::from_row(row.id),
                reference: row.reference_pubkey.parse().ok()?,
                rail: Rail::parse(&row.rail)?,
                recipient: row.address.parse().ok()?,
            })
        })
        .collect())
}

async fn record(
    context: &Context,
    transaction: &ChainTransaction,
    commitment: Commitment,
    verdict: Verdict,
) -> Result<Examined, ExamineError> {
    let (slot, signature) = (transaction.slot, transaction.signature.to_string());
    let payment = ChainPayment {
        signature: signature.clone(),
        slot,
        block_time: transaction.block_time,
        commitment,
        verdict,
        accounts_known: context.accounts_known(),
    };
    match context
        .recorder
        .record(payment, context.settle_rules())
        .await
    {
        Ok(()) => Ok(Examined::Recorded(slot)),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => {
            shared::telemetry::log_failure("a payment cannot be recorded", &error);
            list(context, &signature, "not_recordable", None).await?;
            Ok(Examined::Listed)
        }
    }
}

/// Tells an operator about a transaction that may hold money and cannot be judged, once.
pub async fn list(
    context: &Context,
    signature: &str,
    reason: &'static str,
    detail: Option<&Value>,
) -> Result<(), sqlx::Error> {
    // Once it can be read, the note goes, and the row below with it. Whoever has it no more has nothing to say.
    let noted = sqlx::query!(
        "update chain_signatures set note = $2 where signature = $1 and taken_by = $3",
        signature,
        reason,
        context.id
    )
    .execute(&context.pool)
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(());
    }
    let is_news = sqlx::query_scalar!(
        r#"insert into unattributed_deposits as u (signature, reason, detail) values ($1, $2, $3)
           on conflict (signature, account)
               where reason not in ('reversed_after_settlement', 'changed_after_settlement', 'awaiting_price', 'not_creditable')
               do update set reason = excluded.reason, detail = excluded.detail
               where u.resolved_at is null and (u.reason, u.detail) is distinct from (excluded.reason, excluded.detail)
           returning xmax = 0 as "is_news!""#,
        signature,
        reason,
        detail
    )
    .fetch_optional(&context.pool)
    .await?;
    if is_news == Some(true) {
        tracing::error!(signature, reason, "a transaction waits for an operator");
        metrics::counter!("quittance_chain_unjudged_total", "reason" => reason).increment(1);
    }
    Ok(())
}
