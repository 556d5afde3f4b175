//! Looking at one transaction through nodes, each on its own.

use serde_json::json;
use solana_rpc_client_api::custom_error::JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION;
use solana_rpc_client_api::request::RpcRequest;
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, TransactionConfirmationStatus, TransactionStatus,
};

use super::{ChainTransaction, Commitment, DecodeError, Node, NodeError, Nodes, Sight, Standing};

/// What a node shows of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// All of it.
    Shown(Box<Shown>),
    /// Nothing at this commitment.
    Absent,
    /// That it exists, and nothing that can be judged.
    Unreadable(Unreadable),
}

/// A transaction as one node shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What it did.
    pub transaction: ChainTransaction,
    /// Why it failed, if so, in the node's words.
    pub failure: Option<String>,
}

/// Why a transaction that exists cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The node does not keep, or has not yet filled in, what it did.
    NoEffects,
    /// Of a version that the node does not give out.
    Version,
    /// What came is no transaction, contradicts itself, or is another one.
    Garbled,
}

impl Unreadable {
    /// Its name for operators.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoEffects => "no_effects",
            Self::Version => "unsupported_version",
            Self::Garbled => "unreadable",
        }
    }
}

impl Nodes {
    /// Looks through one node after the other until one shows it. If none does: that it cannot be read, that it is not
    /// there, or that nobody answered, whichever says most.
    pub async fn look(&self, signature: &str, commitment: Commitment) -> Result<Look, NodeError> {
        let (mut best, mut failed) = (None, None);
        for node in self.in_order() {
            match node.look(signature, commitment).await {
                Ok(Look::Shown(shown)) => return Ok(Look::Shown(shown)),
                // Without effects is how young ones look, too: what another node cannot read at all says more.
                Ok(Look::Unreadable(Unreadable::NoEffects))
                    if matches!(best, Some(Look::Unreadable(_))) => {}
                Ok(Look::Unreadable(unreadable)) => best = Some(Look::Unreadable(unreadable)),
                Ok(Look::Absent) => best = best.or(Some(Look::Absent)),
                Err(error) => failed = Some(error),
            }
        }
        best.ok_or_else(|| {
            failed.unwrap_or_else(|| NodeError::Unavailable("none is configured".to_owned()))
        })
    }
}

impl Node {
    /// Looks through this node.
    pub async fn look(&self, signature: &str, commitment: Commitment) -> Result<Look, NodeError> {
        let options = json!({
            "encoding": "base64",
            "commitment": commitment.name(),
            "maxSupportedTransactionVersion": 1,
        });
        let params = json!([signature, options]);
        let answer: Result<Option<EncodedConfirmedTransactionWithStatusMeta>, NodeError> =
            self.call(RpcRequest::GetTransaction, params).await;
        match answer {
            Ok(None) => Ok(Look::Absent),
            Ok(Some(landed)) => Ok(self.read(signature, &landed)),
            Err(NodeError::Refused { code, .. })
                if code == JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION =>
            {
                Ok(Look::Unreadable(Unreadable::Version))
            }
            Err(error @ NodeError::Unreadable(_)) => {
                tracing::warn!(node = self.label(), signature, %error, "a transaction cannot be read");
                Ok(Look::Unreadable(Unreadable::Garbled))
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, signature: &str, landed: &EncodedConfirmedTransactionWithStatusMeta) -> Look {
        let failure = landed.transaction.meta.as_ref();
        let failure = failure.and_then(|meta| meta.err.as_ref().map(ToString::to_string));
        match ChainTransaction::decode(landed) {
            Ok(transaction) if transaction.signature.to_string() == signature => {
                Look::Shown(Box::new(Shown {
                    transaction,
                    failure,
                }))
            }
            Ok(_) => {
                tracing::error!(
                    node = self.label(),
                    signature,
                    "a node answered with another transaction"
                );
                Look::Unreadable(Unreadable::Garbled)
            }
            Err(DecodeError::NoEffects) => Look::Unreadable(Unreadable::NoEffects),
            Err(error) => {
                tracing::warn!(node = self.label(), signature, %error, "a transaction cannot be read");
                Look::Unreadable(Unreadable::Garbled)
            }
        }
    }

    /// How far this node is, and how it sees each of these transactions. Up to 256 at once.
    pub async fn standings(&self, signatures: &[String]) -> Result<Vec<Standing>, NodeError> {
        let (statuses, finalized) = self.statuses(signatures).await?;
        let standing = |status: Option<TransactionStatus>| Standing {
            finalized,
            sight: status.map_or(Sight::Unknown, |status| sight(&status)),
        };
        Ok(statuses.into_iter().map(standing).collect())
    }
}

fn sight(status: &TransactionStatus) -> Sight {
    let is_final = status.confirmation_status == Some(TransactionConfirmationStatus::Finalized)
        // Old nodes say it by a missing count of confirmations.
        || status.confirmation_status.is_none() && status.confirmations.is_none();
    if is_final { Sight::Final } else { Sight::Seen }
}
