//! Errors of JSON-RPC, with agave's codes and words.

use serde_json::{Value, json};
use solana_rpc_client_api::custom_error as codes;
use solana_signature::Signature;

/// The code of a method that nobody knows.
pub const METHOD_NOT_FOUND: i64 = -32_601;
/// The code of parameters that make no sense.
pub const INVALID_PARAMS: i64 = -32_602;
/// The code of a failure inside the node.
pub const INTERNAL_ERROR: i64 = -32_603;
/// The code of a request that is no request.
pub const PARSE_ERROR: i64 = -32_700;

/// An error that a node answers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RpcFailure {
    /// Its number.
    pub code: i64,
    /// Its words.
    pub message: String,
    /// What it says besides.
    pub data: Option<Value>,
}

impl RpcFailure {
    /// Any error.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// -32601.
    #[must_use]
    pub fn method_not_found() -> Self {
        Self::new(METHOD_NOT_FOUND, "Method not found")
    }

    /// -32602.
    #[must_use]
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    /// -32001: the node keeps no block that old.
    #[must_use]
    pub fn block_cleaned_up(slot: u64, first: u64) -> Self {
        let message = format!(
            "Block {slot} cleaned up, does not exist on node. First available block: {first}"
        );
        Self::new(codes::JSON_RPC_SERVER_ERROR_BLOCK_CLEANED_UP, message)
    }

    /// -32004: the node has no such block yet.
    #[must_use]
    pub fn block_not_available(slot: u64) -> Self {
        let message = format!("Block not available for slot {slot}");
        Self::new(codes::JSON_RPC_SERVER_ERROR_BLOCK_NOT_AVAILABLE, message)
    }

    /// -32007: the slot has no block.
    #[must_use]
    pub fn slot_skipped(slot: u64) -> Self {
        let message =
            format!("Slot {slot} was skipped, or missing due to ledger jump to recent snapshot");
        Self::new(codes::JSON_RPC_SERVER_ERROR_SLOT_SKIPPED, message)
    }

    /// -32002: the simulation before sending failed.
    #[must_use]
    pub fn preflight(message: &str, result: Value) -> Self {
        let code = codes::JSON_RPC_SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE;
        Self::new(code, format!("Transaction simulation failed: {message}")).with_data(result)
    }

    /// -32003: a signature is wrong.
    #[must_use]
    pub fn signature_verification() -> Self {
        Self::new(
            codes::JSON_RPC_SERVER_ERROR_TRANSACTION_SIGNATURE_VERIFICATION_FAILURE,
            "Transaction signature verification failure",
        )
    }

    /// -32005: the node is behind, or just unhealthy.
    #[must_use]
    pub fn unhealthy(slots_behind: Option<u64>) -> Self {
        let message = slots_behind.map_or_else(
            || "Node is unhealthy".to_owned(),
            |slots| format!("Node is behind by {slots} slots"),
        );
        Self::new(codes::JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY, message)
            .with_data(json!({ "numSlotsBehind": slots_behind }))
    }

    /// -32015: the client cannot read this version.
    #[must_use]
    pub fn unsupported_version(version: u8) -> Self {
        let message = format!(
            "Transaction version ({version}) is not supported by the requesting client. Please \
             try the request again with the following configuration parameter: \
             \"maxSupportedTransactionVersion\": {version}"
        );
        let code = codes::JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION;
        Self::new(code, message)
    }

    /// -32016: the node has not come that far.
    #[must_use]
    pub fn min_context_slot(context_slot: u64) -> Self {
        Self::new(
            codes::JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED,
            "Minimum context slot has not been reached",
        )
        .with_data(json!({ "contextSlot": context_slot }))
    }

    /// -32020: `until` or `before` is unknown.
    #[must_use]
    pub fn filter_transaction_not_found(signature: &Signature) -> Self {
        Self::new(
            codes::JSON_RPC_SERVER_ERROR_FILTER_TRANSACTION_NOT_FOUND,
            format!("Transaction {signature} not found"),
        )
    }

    pub(crate) fn internal(error: &impl ToString) -> Self {
        Self::new(INTERNAL_ERROR, error.to_string())
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(fields)) = (&self.data, error.as_object_mut()) {
            fields.insert("data".to_owned(), data.clone());
        }
        error
    }
}
