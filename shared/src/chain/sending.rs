//! What we ask nodes on a transaction's way to the chain.

use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;
use solana_hash::Hash;
use solana_rpc_client_api::request::RpcRequest;
use solana_rpc_client_api::response::Response;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::UiTransactionError;

use super::{Commitment, Node, NodeError, Nodes};

impl Nodes {
    /// What a transaction would do now: nothing bad (`None`), or fail. Signatures are not looked at, and the
    /// blockhash is its own. Advice only, for the chain moves on.
    pub async fn simulate(&self, wire_base64: &str) -> Result<Option<TransactionError>, NodeError> {
        #[derive(Deserialize)]
        struct Answer {
            err: Option<UiTransactionError>,
        }
        let options = json!({
            "encoding": "base64",
            "sigVerify": false,
            "replaceRecentBlockhash": false,
            "commitment": Commitment::Processed.name(),
        });
        let params = json!([wire_base64, options]);
        let answer: Response<Answer> = self.call(RpcRequest::SimulateTransaction, params).await?;
        Ok(answer.value.err.map(TransactionError::from))
    }

    /// The block height as each node sees it, in the order of the nodes; nothing of one that does not say, or is left out.
    pub async fn heights(&self, commitment: Commitment) -> Vec<Option<u64>> {
        let asked = self.each().map(async |node| {
            if node.is_left_out() {
                return None;
            }
            node.block_height(commitment).await.ok()
        });
        join_all(asked).await
    }
}

impl Node {
    /// Whether this node would still take a transaction with this blockhash.
    pub async fn is_blockhash_valid(&self, hash: &Hash) -> Result<bool, NodeError> {
        let options = json!({"commitment": Commitment::Processed.name()});
        let params = json!([hash.to_string(), options]);
        let answer: Response<bool> = self.call(RpcRequest::IsBlockhashValid, params).await?;
        Ok(answer.value)
    }

    /// The block height as this node sees it.
    pub async fn block_height(&self, commitment: Commitment) -> Result<u64, NodeError> {
        let params = json!([{"commitment": commitment.name()}]);
        self.call(RpcRequest::GetBlockHeight, params).await
    }
}
