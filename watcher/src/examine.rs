//! One signature: fetched raw, decoded, judged by what it did, recorded. Twice is like once.

use shared::chain::{
    ChainTransaction, Commitment, DecodeError, NodeError, TaggedInvoice, Verdict, verify,
};
use shared::ids::{InvoiceId, TraceId};
use shared::invoices::Rail;
use shared::settlement::{ChainPayment, SettlementError, record_chain_payment};
use solana_rpc_client_api::custom_error::JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION;
use sqlx::PgExecutor;

use crate::context::Context;

/// What looking led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined {
    /// Everything it did is recorded, at this slot.
    Recorded(u64),
    /// No node has it at this commitment, yet.
    Absent,
    /// It is beyond this program, or the nodes, and is listed for an operator until it can be read after all.
    Listed,
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
    /// A settlement that may succeed later.
    #[error(transparent)]
    Settlement(#[from] SettlementError),
}

/// Examines a signature at a commitment.
pub async fn examine(
    context: &Context,
    signature: &str,
    commitment: Commitment,
) -> Result<Examined, ExamineError> {
    let landed = match context.nodes.transaction(signature, commitment).await {
        Ok(Some(landed)) => landed,
        Ok(None) => return Ok(Examined::Absent),
        Err(NodeError::Refused { code, .. })
            if code == JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION =>
        {
            return list(context, signature, "unsupported_version").await;
        }
        Err(error @ NodeError::Unreadable(_)) => {
            tracing::error!(signature, %error, "a transaction cannot be read");
            return list(context, signature, "unreadable").await;
        }
        Err(error) => return Err(error.into()),
    };
    let transaction = match ChainTransaction::decode(&landed) {
        Ok(transaction) => transaction,
        // Some nodes fill effects in late.
        Err(DecodeError::NoEffects) => return Ok(Examined::Absent),
        Err(error) => {
            tracing::error!(signature, %error, "a transaction cannot be read");
            return list(context, signature, "unreadable").await;
        }
    };
    if transaction.signature.to_string() != signature {
        tracing::error!(signature, "a node answered with another transaction");
        return Ok(Examined::Absent);
    }
    let tagged = tagged_invoices(&context.pool, &transaction).await?;
    let accounts = context.accounts.borrow().clone();
    let verdict = verify(&transaction, &accounts, &tagged);
    record(context, signature, &transaction, commitment, &verdict).await
}

/// Invoices, in whatever state, whose references the transaction names.
async fn tagged_invoices(
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
    signature: &str,
    transaction: &ChainTransaction,
    commitment: Commitment,
    verdict: &Verdict,
) -> Result<Examined, ExamineError> {
    let slot = transaction.slot;
    let payment = ChainPayment {
        signature,
        slot,
        block_time: transaction.block_time,
        commitment,
        verdict,
    };
    let rules = context.settle_rules();
    let trace = TraceId::generate();
    let recorded = record_chain_payment(&context.pool, &payment, &rules, &trace).await;
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => {
            shared::telemetry::log_failure("a payment cannot be recorded", &error);
            return list(context, signature, "not_recordable").await;
        }
    };
    if let Some(publication) = recorded.publication {
        context.publisher.publish(publication);
    }
    for credit in &verdict.credits {
        tracing::info!(
            signature, slot, commitment = commitment.name(), invoice_id = %credit.invoice,
            units = credit.units, trace_id = %trace, "payment on chain"
        );
    }
    for open in &verdict.open {
        tracing::warn!(
            signature, slot, commitment = commitment.name(), account = %open.account,
            units = open.units, reason = open.reason.name(), "money on chain without an invoice"
        );
    }
    for invoice in &recorded.paid {
        tracing::info!(signature, invoice_id = %invoice, trace_id = %trace, "paid on chain");
        metrics::counter!("quittance_chain_invoices_paid_total").increment(1);
    }
    Ok(Examined::Recorded(slot))
}

/// Tells an operator about a transaction that may hold money and cannot be judged, once.
async fn list(
    context: &Context,
    signature: &str,
    reason: &'static str,
) -> Result<Examined, ExamineError> {
    let listed = sqlx::query!(
        "insert into unattributed_deposits (signature, reason) values ($1, $2) on conflict do nothing",
        signature,
        reason
    )
    .execute(&context.pool)
    .await?;
    if listed.rows_affected() > 0 {
        tracing::error!(signature, reason, "a transaction waits for an operator");
        metrics::counter!("quittance_chain_unjudged_total", "reason" => reason).increment(1);
    }
    // Once it can be read, the note goes, and the row above with it.
    sqlx::query!(
        "update chain_signatures set note = $2 where signature = $1",
        signature,
        reason
    )
    .execute(&context.pool)
    .await?;
    Ok(Examined::Listed)
}
