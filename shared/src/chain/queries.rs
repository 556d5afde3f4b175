//! What we ask nodes.

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_account_decoder_client_types::UiAccount;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::custom_error::JSON_RPC_SERVER_ERROR_FILTER_TRANSACTION_NOT_FOUND;
use solana_rpc_client_api::request::RpcRequest;
use solana_rpc_client_api::response::Response;
use solana_signature::Signature;
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, TransactionConfirmationStatus, TransactionStatus,
};

use super::{Node, NodeError, Nodes};

/// What a node that is further behind the others says about the present is no news.
const STALE_SLOTS: u64 = 150;

/// How sure the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commitment {
    /// The node has seen it.
    Processed,
    /// A supermajority voted for it; it may be undone in theory.
    Confirmed,
    /// It stays.
    Finalized,
}

impl Commitment {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

/// One row of a key's history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The transaction.
    pub signature: String,
    /// Where it landed.
    pub slot: u64,
    /// When, in seconds since 1970, if the node knows.
    #[serde(default)]
    pub block_time: Option<i64>,
}

/// A blockhash to build on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blockhash {
    /// The hash.
    pub hash: Hash,
    /// The last block height at which a transaction that names it can land.
    pub last_valid_height: u64,
}

/// An account as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// Native balance.
    pub lamports: u64,
    /// The program it belongs to.
    pub owner: Pubkey,
    /// Its content.
    pub data: Vec<u8>,
}

impl Nodes {
    /// A page of a key's history by any node, newest first, from before a signature on.
    pub async fn history(
        &self,
        key: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, NodeError> {
        let (request, params) = history_request(key, before, None, limit, None);
        self.call(request, params).await
    }

    /// Where signatures stand, in order: the furthest that a node which is not stale has seen them. Up to 256 at once.
    pub async fn statuses(
        &self,
        signatures: &[String],
    ) -> Result<Vec<Option<TransactionStatus>>, NodeError> {
        let answers = self.ask_all(|node| node.statuses(signatures)).await?;
        let front = answers.iter().map(|(_, finalized)| *finalized).max();
        let fresh = answers
            .into_iter()
            .filter(|(_, finalized)| Some(finalized.saturating_add(STALE_SLOTS)) >= front);
        let mut furthest = vec![None; signatures.len()];
        for (statuses, _) in fresh {
            for (known, status) in furthest.iter_mut().zip(statuses) {
                if level(status.as_ref()) > level(known.as_ref()) {
                    *known = status;
                }
            }
        }
        Ok(furthest)
    }

    /// Asks all nodes at once; an error only when none answers.
    pub async fn ask_all<'a, T, F: Future<Output = Result<T, NodeError>>>(
        &'a self,
        ask: impl Fn(&'a Node) -> F,
    ) -> Result<Vec<T>, NodeError> {
        Self::ask_each(self.each(), ask).await
    }

    /// As `ask_all`, those that are of use for this request: one that is left out only now and then.
    pub async fn ask_useful<'a, T, F: Future<Output = Result<T, NodeError>>>(
        &'a self,
        request: RpcRequest,
        ask: impl Fn(&'a Node) -> F,
    ) -> Result<Vec<T>, NodeError> {
        Self::ask_each(self.each().filter(|node| node.is_asked(request)), ask).await
    }

    async fn ask_each<'a, T, F: Future<Output = Result<T, NodeError>>>(
        nodes: impl Iterator<Item = &'a Node>,
        ask: impl Fn(&'a Node) -> F,
    ) -> Result<Vec<T>, NodeError> {
        let (mut answers, mut failed) = (Vec::new(), None);
        for answer in join_all(nodes.map(ask)).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => failed = Some(error),
            }
        }
        if answers.is_empty() {
            let nobody = || NodeError::Unavailable("nobody is asked now".to_owned());
            return Err(failed.unwrap_or_else(nobody));
        }
        Ok(answers)
    }

    /// The newest slot at a commitment.
    pub async fn slot(&self, commitment: Commitment) -> Result<u64, NodeError> {
        let params = json!([{"commitment": commitment.name()}]);
        self.call(RpcRequest::GetSlot, params).await
    }

    /// The block height at a commitment.
    pub async fn block_height(&self, commitment: Commitment) -> Result<u64, NodeError> {
        let params = json!([{"commitment": commitment.name()}]);
        self.call(RpcRequest::GetBlockHeight, params).await
    }

    /// The newest blockhash.
    pub async fn latest_blockhash(&self) -> Result<Blockhash, NodeError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            blockhash: String,
            last_valid_block_height: u64,
        }
        let params = json!([{"commitment": Commitment::Confirmed.name()}]);
        let answer: Response<Answer> = self.call(RpcRequest::GetLatestBlockhash, params).await?;
        let unreadable = |_| NodeError::Unreadable(RpcRequest::GetLatestBlockhash.to_string());
        Ok(Blockhash {
            hash: answer.value.blockhash.parse().map_err(unreadable)?,
            last_valid_height: answer.value.last_valid_block_height,
        })
    }

    /// An account; `None` when there is none.
    pub async fn account(&self, key: &Pubkey) -> Result<Option<AccountState>, NodeError> {
        let options = json!({"encoding": "base64", "commitment": Commitment::Confirmed.name()});
        let params = json!([key.to_string(), options]);
        let answer: Response<Option<UiAccount>> =
            self.call(RpcRequest::GetAccountInfo, params).await?;
        let unreadable = || NodeError::Unreadable(RpcRequest::GetAccountInfo.to_string());
        let Some(account) = answer.value else {
            return Ok(None);
        };
        Ok(Some(AccountState {
            lamports: account.lamports,
            owner: account.owner.parse().map_err(|_| unreadable())?,
            data: account.data.decode().ok_or_else(unreadable)?,
        }))
    }

    /// What an account of this size must hold to exist, lamports.
    pub async fn rent_exempt_minimum(&self, size: usize) -> Result<u64, NodeError> {
        self.call(RpcRequest::GetMinimumBalanceForRentExemption, json!([size]))
            .await
    }
}

/// The order of how sure a status is.
fn level(status: Option<&TransactionStatus>) -> u8 {
    let Some(status) = status else {
        return 0;
    };
    match &status.confirmation_status {
        Some(TransactionConfirmationStatus::Processed) => 1,
        Some(TransactionConfirmationStatus::Confirmed) => 2,
        Some(TransactionConfirmationStatus::Finalized) => 3,
        // Old nodes say it by a missing count of confirmations.
        None => 1 + 2 * u8::from(status.confirmations.is_none()),
    }
}

fn history_request(
    key: &str,
    before: Option<&str>,
    until: Option<&str>,
    limit: usize,
    min_slot: Option<u64>,
) -> (RpcRequest, Value) {
    let mut options = json!({"limit": limit, "commitment": Commitment::Confirmed.name()});
    let fields = [
        ("before", before.map(Value::from)),
        ("until", until.map(Value::from)),
        ("minContextSlot", min_slot.map(Value::from)),
    ];
    if let Some(options) = options.as_object_mut() {
        let given = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        options.extend(given);
    }
    (RpcRequest::GetSignaturesForAddress, json!([key, options]))
}

impl Node {
    /// The newest slot at a commitment.
    pub async fn slot(&self, commitment: Commitment) -> Result<u64, NodeError> {
        let params = json!([{"commitment": commitment.name()}]);
        let slot = self.call(RpcRequest::GetSlot, params).await?;
        if commitment == Commitment::Finalized {
            self.note_finalized(slot);
        }
        Ok(slot)
    }

    /// Asks once more what it failed at: an answer is one only if it can be read.
    pub(super) async fn ask_again(
        &self,
        request: RpcRequest,
        params: Value,
    ) -> Result<(), NodeError> {
        match request {
            RpcRequest::GetTransaction => self
                .call::<Option<EncodedConfirmedTransactionWithStatusMeta>>(request, params)
                .await
                .map(drop),
            RpcRequest::GetSignatureStatuses => self
                .call::<Response<Vec<Option<TransactionStatus>>>>(request, params)
                .await
                .map(drop),
            RpcRequest::GetSignaturesForAddress => {
                self.call::<Vec<Listed>>(request, params).await.map(drop)
            }
            _ => self.call::<Value>(request, params).await.map(drop),
        }
    }

    /// When a block was made, in seconds since 1970; `None` when the node does not know.
    pub async fn block_time(&self, slot: u64) -> Result<Option<i64>, NodeError> {
        match self.call(RpcRequest::GetBlockTime, json!([slot])).await {
            // Skipped, cleaned up, or a node that keeps no times.
            Err(NodeError::Refused { .. }) => Ok(None),
            answer => answer,
        }
    }

    /// A page of a key's history, newest first, down to `until`; a node that does not know `until` is asked without
    /// it. `min_slot` makes a node that is not so far refuse.
    pub async fn history(
        &self,
        key: &str,
        before: Option<&str>,
        until: Option<&str>,
        limit: usize,
        min_slot: u64,
    ) -> Result<Vec<Listed>, NodeError> {
        let (request, params) = history_request(key, before, until, limit, Some(min_slot));
        match self.call(request, params).await {
            Err(NodeError::Refused { code, .. })
                if code == JSON_RPC_SERVER_ERROR_FILTER_TRANSACTION_NOT_FOUND
                    && until.is_some() =>
            {
                let (request, params) = history_request(key, before, None, limit, Some(min_slot));
                self.call(request, params).await
            }
            answer => answer,
        }
    }

    /// Where signatures stand as this node sees it, with how far it was before that: its finalized slot. What it does
    /// not know then is not in any block up to there.
    pub async fn statuses(
        &self,
        signatures: &[String],
    ) -> Result<(Vec<Option<TransactionStatus>>, u64), NodeError> {
        let slot = self.slot(Commitment::Finalized).await?;
        let params = json!([signatures, {"searchTransactionHistory": true}]);
        let answer: Response<Vec<_>> = self.call(RpcRequest::GetSignatureStatuses, params).await?;
        if answer.value.len() != signatures.len() {
            return Err(NodeError::Unreadable(
                RpcRequest::GetSignatureStatuses.to_string(),
            ));
        }
        Ok((answer.value, slot))
    }

    /// Hands a signed transaction over, without preflight and without the node's own retries; returns its signature
    /// as the node sees it.
    pub async fn send_transaction(&self, wire_base64: &str) -> Result<Signature, NodeError> {
        let options = json!({
            "encoding": "base64",
            "skipPreflight": true,
            "maxRetries": 0,
            "preflightCommitment": "processed",
        });
        let answer: String = self
            .call(RpcRequest::SendTransaction, json!([wire_base64, options]))
            .await?;
        answer
            .parse()
            .map_err(|_| NodeError::Unreadable(RpcRequest::SendTransaction.to_string()))
    }
}
