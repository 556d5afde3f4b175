//! A chain, a node and a payment.

use std::time::Duration;

use fault_kit::{FakeChain, FakeNode, FakeTransaction, RpcFailure, TransactionBuilder};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_pubsub_client::nonblocking::pubsub_client::PubsubClient;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client::rpc_client::GetConfirmedSignaturesForAddress2Config;
use solana_rpc_client_api::client_error::{Error, ErrorKind};
use solana_rpc_client_api::request::{RpcError, RpcRequest};

/// Long enough for anything that happens at all.
pub const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that something does not happen.
pub const MOMENT: Duration = Duration::from_millis(150);

pub struct Scene {
    pub chain: FakeChain,
    pub node: FakeNode,
    pub rpc: RpcClient,
    pub payer: Keypair,
    pub merchant: Pubkey,
}

impl Scene {
    pub async fn new() -> Self {
        let node = FakeNode::start().await.unwrap();
        Self {
            chain: node.chain().clone(),
            rpc: confirmed(&node),
            node,
            payer: Keypair::new(),
            merchant: Pubkey::new_unique(),
        }
    }

    pub fn builder(&self) -> TransactionBuilder {
        TransactionBuilder::new(&self.payer, self.chain.blockhash())
    }

    /// A payment; the amount makes it unique.
    pub fn payment(&self, lamports: u64) -> FakeTransaction {
        self.builder()
            .sol_transfer(self.merchant, lamports, &[])
            .build()
            .unwrap()
    }

    pub async fn pubsub(&self) -> PubsubClient {
        PubsubClient::new(self.node.ws_url()).await.unwrap()
    }

    /// The slots of the confirmed transactions that mention a key.
    pub async fn listed(&self, key: &Pubkey) -> Vec<u64> {
        listed(&self.rpc, key).await
    }

    /// Calls a method and reads its result as it is.
    pub async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        call(&self.rpc, method, params).await
    }
}

pub fn confirmed(node: &FakeNode) -> RpcClient {
    RpcClient::new_with_commitment(node.rpc_url(), CommitmentConfig::confirmed())
}

pub async fn call(
    rpc: &RpcClient,
    method: &'static str,
    params: Value,
) -> Result<Value, RpcFailure> {
    rpc.send(RpcRequest::Custom { method }, params)
        .await
        .map_err(|error| failure(&error))
}

/// The slots of the confirmed transactions that mention a key.
pub async fn listed(rpc: &RpcClient, key: &Pubkey) -> Vec<u64> {
    let config = GetConfirmedSignaturesForAddress2Config {
        commitment: Some(CommitmentConfig::confirmed()),
        ..Default::default()
    };
    let rows = rpc
        .get_signatures_for_address_with_config(key, config)
        .await;
    rows.unwrap().into_iter().map(|row| row.slot).collect()
}

/// The JSON-RPC error in an error of the client.
pub fn failure(error: &Error) -> RpcFailure {
    match error.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => {
            RpcFailure::new(*code, message.clone())
        }
        other => panic!("not an error of the node: {other:?}"),
    }
}

/// The next item, which has to come.
pub async fn next<T>(stream: &mut BoxStream<'_, T>) -> T {
    tokio::time::timeout(SOON, stream.next())
        .await
        .expect("an item in time")
        .expect("an open stream")
}

/// That nothing comes for a moment.
pub async fn silence<T: std::fmt::Debug>(stream: &mut BoxStream<'_, T>) {
    if let Ok(item) = tokio::time::timeout(MOMENT, stream.next()).await {
        panic!("unexpected: {item:?}");
    }
}
