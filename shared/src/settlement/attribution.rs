//! Operators say whose money on chain is that names nobody.

use sqlx::PgConnection;

use super::SettlementError;
use crate::events::Publication;
use crate::ids::{InvoiceId, TraceId, UserId};

/// Why a deposit was not attributed; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributionRefusal {
    /// No such deposit waits.
    NotFound,
    /// The deposit is not final money on an account of ours, or it was given away already.
    NothingToAttribute,
    /// The invoice does not exist, or is not paid on that account.
    InvoiceDoesNotFit,
    /// The same transaction credited that invoice already.
    InvoiceWasCredited,
}

/// Gives an unattributed deposit to an invoice, as an operator says; it settles like any payment
/// that landed when it did.
pub async fn attribute_deposit(
    connection: &mut PgConnection,
    deposit: i64,
    invoice: &InvoiceId,
    note: &str,
    sol_price_micro: Option<i64>,
    trace: &TraceId,
) -> Result<Result<Option<Publication>, AttributionRefusal>, SettlementError> {
    let row = sqlx::query!(
        r#"select outcome as "outcome!", batch_id, topics, messages from attribute_deposit($1, $2, $3, $4, $5)"#,
        deposit,
        invoice.as_str(),
        note,
        sol_price_micro,
        trace.as_str()
    )
    .fetch_one(connection)
    .await?;
    Ok(match row.outcome.as_str() {
        "attributed" => Ok(Publication::from_row(
            row.batch_id,
            row.topics,
            row.messages,
        )),
        "not_found" => Err(AttributionRefusal::NotFound),
        "nothing_to_attribute" => Err(AttributionRefusal::NothingToAttribute),
        "invoice_does_not_fit" => Err(AttributionRefusal::InvoiceDoesNotFit),
        "invoice_was_credited" => Err(AttributionRefusal::InvoiceWasCredited),
        _ => return Err(SettlementError::UnknownAnswer(row.outcome)),
    })
}

/// A deposit that was given to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositCredit {
    /// What it was worth, micro-USD.
    pub worth_micro: i64,
    /// The user's balance right after it, micro-USD.
    pub new_balance_micro: i64,
    /// Its event; none when it was worth less than a micro-dollar.
    pub publication: Option<Publication>,
}

/// Why a deposit was not given to a user; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreditRefusal {
    /// No such deposit waits.
    NotFound,
    /// The deposit is not final money on an account of ours, or it was given away already.
    NothingToAttribute,
    /// No such user.
    UnknownUser,
    /// It is in SOL, and nobody knows now what that is worth.
    PriceMissing,
    /// The balance would exceed what clients can read exactly.
    BalanceTooLarge,
}

/// Gives an unattributed deposit, of whatever rail, to a user's balance, as an operator says: a dollar token at a dollar,
/// SOL at the current price (micro-USD of one, if it is known).
pub async fn credit_deposit(
    connection: &mut PgConnection,
    deposit: i64,
    user: UserId,
    note: &str,
    sol_price_micro: Option<i64>,
    trace: &TraceId,
) -> Result<Result<DepositCredit, CreditRefusal>, SettlementError> {
    let row = sqlx::query!(
        r#"select outcome as "outcome!", worth_micro, new_balance_micro, batch_id, topics, messages
           from credit_deposit($1, $2, $3, $4, $5)"#,
        deposit,
        user.0,
        note,
        sol_price_micro,
        trace.as_str()
    )
    .fetch_one(connection)
    .await?;
    Ok(
        match (row.outcome.as_str(), row.worth_micro, row.new_balance_micro) {
            ("credited", Some(worth_micro), Some(new_balance_micro)) => Ok(DepositCredit {
                worth_micro,
                new_balance_micro,
                publication: Publication::from_row(row.batch_id, row.topics, row.messages),
            }),
            ("not_found", ..) => Err(CreditRefusal::NotFound),
            ("nothing_to_attribute", ..) => Err(CreditRefusal::NothingToAttribute),
            ("unknown_user", ..) => Err(CreditRefusal::UnknownUser),
            ("price_missing", ..) => Err(CreditRefusal::PriceMissing),
            ("balance_too_large", ..) => Err(CreditRefusal::BalanceTooLarge),
            _ => return Err(SettlementError::UnknownAnswer(row.outcome)),
        },
    )
}
