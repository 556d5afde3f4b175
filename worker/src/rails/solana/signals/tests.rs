//! Nodes' answers, sorted.

use serde_json::json;
use solana_transaction_error::TransactionError as E;
use solana_transaction_status_client_types::UiTransactionError;

use super::*;

#[test]
fn simulations_are_sorted() {
    let instruction = json!({"InstructionError": [2, {"Custom": 1}]});
    let instruction: UiTransactionError = serde_json::from_value(instruction).unwrap();
    let cases = [
        (None, Forecast::Go),
        (Some(E::AlreadyProcessed), Forecast::Landed),
        (Some(E::BlockhashNotFound), Forecast::UnknownBlockhash),
        (Some(E::AccountInUse), Forecast::Go),
        (Some(E::AccountNotFound), Forecast::Fails),
        (Some(E::InsufficientFundsForFee), Forecast::Fails),
        (
            Some(E::InsufficientFundsForRent { account_index: 1 }),
            Forecast::Fails,
        ),
        (Some(instruction.into()), Forecast::Fails),
        (Some(E::SignatureFailure), Forecast::Fails),
    ];
    for (error, expected) in cases {
        assert_eq!(forecast(error.as_ref()), expected, "{error:?}");
    }
}

fn refused(code: i64, message: &str) -> NodeError {
    NodeError::Refused {
        code,
        message: message.to_owned(),
    }
}

#[test]
fn failed_sends_are_sorted() {
    let already = "Transaction simulation failed: This transaction has already been processed";
    let cases = [
        (refused(-32002, already), Sent::Accepted),
        (refused(-32002, "AlreadyProcessed"), Sent::Accepted),
        (
            refused(-32002, "Transaction simulation failed: Blockhash not found"),
            Sent::Unknown,
        ),
        (refused(429, "Rate limit exceeded"), Sent::Unknown),
        (
            NodeError::Unavailable("timed out".to_owned()),
            Sent::Unknown,
        ),
        (NodeError::Unreadable("x".to_owned()), Sent::Unknown),
        (
            refused(-32003, "Transaction signature verification failure"),
            Sent::Refused(Refusal {
                failure: RelayFailure::NodeError,
                reason: "-32003: Transaction signature verification failure".to_owned(),
            }),
        ),
        (
            refused(-32002, "Insufficient funds for fee"),
            Sent::Refused(Refusal {
                failure: RelayFailure::InsufficientSol,
                reason: "-32002: Insufficient funds for fee".to_owned(),
            }),
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(sent(&error, &[]), expected, "{error}");
    }
}

#[test]
fn one_node_that_took_it_is_enough() {
    let refused = |failure| {
        let reason = "no".to_owned();
        Sent::Refused(Refusal { failure, reason })
    };
    let refusal = || refused(RelayFailure::NodeError);
    let empty = || refused(RelayFailure::InsufficientSol);
    let cases = [
        (vec![], Sent::Unknown),
        (vec![refusal()], refusal()),
        (vec![refusal(), Sent::Unknown], Sent::Unknown),
        (
            vec![Sent::Unknown, refusal(), Sent::Accepted],
            Sent::Accepted,
        ),
        (vec![Sent::Accepted, Sent::Unknown], Sent::Accepted),
        (vec![refusal(), refusal()], refusal()),
        // What says something about the payer is told.
        (vec![refusal(), empty()], empty()),
        (vec![empty(), refusal()], empty()),
    ];
    for (answers, expected) in cases {
        assert_eq!(together(answers.clone()), expected, "{answers:?}");
    }
}

fn status(
    level: Option<TransactionConfirmationStatus>,
    confirmations: Option<usize>,
    err: Option<E>,
) -> TransactionStatus {
    TransactionStatus {
        slot: 7,
        confirmations,
        status: err.clone().map_or(Ok(()), Err),
        err,
        confirmation_status: level,
    }
}

#[test]
fn statuses_are_read() {
    use TransactionConfirmationStatus::{Confirmed, Finalized, Processed};
    let failed = || Some(E::AccountNotFound);
    let cases = [
        (status(Some(Processed), Some(0), None), Sighting::Processed),
        (
            status(Some(Processed), Some(0), failed()),
            Sighting::Processed,
        ),
        (
            status(Some(Confirmed), Some(3), None),
            Sighting::Confirmed(7),
        ),
        (
            status(Some(Confirmed), Some(3), failed()),
            Sighting::Failed(RelayFailure::InsufficientSol),
        ),
        (status(Some(Finalized), None, None), Sighting::Finalized(7)),
        (
            status(Some(Finalized), None, failed()),
            Sighting::Failed(RelayFailure::InsufficientSol),
        ),
        (status(None, None, None), Sighting::Finalized(7)),
        (status(None, Some(31), None), Sighting::Processed),
    ];
    for (status, expected) in cases {
        assert_eq!(sighting(Some(&status), &[]), expected, "{status:?}");
    }
    assert_eq!(sighting(None, &[]), Sighting::Nowhere);
}

#[test]
fn it_is_sent_while_it_can_land() {
    let failure = RelayFailure::Other;
    let cases = [
        (Sighting::Nowhere, Some(10), None, Step::Send),
        (Sighting::Nowhere, Some(10), Some(11), Step::Send),
        (Sighting::Nowhere, Some(11), Some(11), Step::Send),
        (Sighting::Nowhere, Some(12), Some(11), Step::Seek),
        // Too few nodes say how far the chain is.
        (Sighting::Nowhere, None, Some(11), Step::Send),
        (Sighting::Nowhere, None, None, Step::Send),
        (Sighting::Processed, Some(99), Some(11), Step::Wait),
        (Sighting::Confirmed(5), Some(99), Some(11), Step::Confirm(5)),
        (
            Sighting::Finalized(5),
            Some(99),
            Some(11),
            Step::Finalize(5),
        ),
        (
            Sighting::Failed(failure),
            Some(99),
            Some(11),
            Step::Fail(failure),
        ),
    ];
    for (sighting, height, last_valid, expected) in cases {
        assert_eq!(step(sighting, height, last_valid), expected, "{sighting:?}");
    }
}
