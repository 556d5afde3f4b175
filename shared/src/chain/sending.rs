//! What we ask nodes on a transaction's way to the chain.

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_rpc_client_api::request::RpcRequest;
use solana_rpc_client_api::response::Response;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::UiTransactionError;

use super::{Commitment, Node, NodeError, Nodes};

impl Nodes {
    /// What a transaction would do now, by the first node that says: nothing bad (`None`), or fail. Signatures are not
    /// looked at, and the blockhash is its own. Advice only, for the chain moves on.
    pub async fn simulate(&self, wire_base64: &str) -> Result<Option<TransactionError>, NodeError> {
        let params = simulation(wire_base64);
        let answer: Simulated = self.call(RpcRequest::SimulateTransaction, params).await?;
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

#[derive(Deserialize)]
struct Outcome {
    err: Option<UiTransactionError>,
}

type Simulated = Response<Outcome>;

fn simulation(wire_base64: &str) -> Value {
    let options = json!({
        "encoding": "base64",
        "sigVerify": false,
        "replaceRecentBlockhash": false,
        "commitment": Commitment::Processed.name(),
    });
    json!([wire_base64, options])
}

impl Node {
    /// What a transaction would do now, as this node sees it.
    pub async fn simulate(&self, wire_base64: &str) -> Result<Option<TransactionError>, NodeError> {
        let params = simulation(wire_base64);
        let answer: Simulated = self.call(RpcRequest::SimulateTransaction, params).await?;
        Ok(answer.value.err.map(TransactionError::from))
    }

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
