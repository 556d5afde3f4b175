//! Sending, and waiting until the chain is sure.

use std::time::{Duration, Instant};

use serde_json::Value;
use solana_instruction::Instruction;
use solana_signature::Signature;

use super::instructions::memo;
use super::rpc::{Commitment, RpcError, Status};
use super::signing::{Signed, Version, sign};
use super::wallet::Wallet;
use super::{Chain, ChainError};
use crate::secret::random_name;

/// A real validator needs about 15 s to finality, and may be slow.
const CONFIRM_LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(25);
/// Nodes may lose a transaction before it lands.
const RESEND: Duration = Duration::from_secs(2);

impl Chain {
    /// Sends the instructions in a transaction of their own and waits until it is confirmed.
    pub async fn transact(
        &self,
        payer: &Wallet,
        cosigners: &[&Wallet],
        instructions: &[Instruction],
    ) -> Result<Signature, ChainError> {
        let block = self.rpc.latest_blockhash().await?;
        // Two equal transactions on the same block would be one.
        let mut unique = instructions.to_vec();
        unique.push(memo(&random_name("stack"), &[]));
        let signed = sign(Version::Legacy, payer, cosigners, &unique, block.blockhash)?;
        self.send_and_confirm(&signed, Commitment::Confirmed).await
    }

    /// Sends a transaction and waits until the node is so sure of it.
    pub async fn send_and_confirm(
        &self,
        signed: &Signed,
        commitment: Commitment,
    ) -> Result<Signature, ChainError> {
        let signature = self.rpc.send(&signed.bytes, false).await?;
        self.wait(&signature, commitment, Some(signed)).await?;
        Ok(signature)
    }

    /// Waits until the node is so sure of a transaction, for a bounded time.
    pub async fn confirm(
        &self,
        signature: &Signature,
        commitment: Commitment,
    ) -> Result<Status, ChainError> {
        self.wait(signature, commitment, None).await
    }

    async fn wait(
        &self,
        signature: &Signature,
        wanted: Commitment,
        again: Option<&Signed>,
    ) -> Result<Status, ChainError> {
        let begin = Instant::now();
        let mut sent = begin;
        loop {
            let status = match self.rpc.status(signature).await {
                // Later perhaps.
                Err(RpcError::TooMany(_)) => None,
                status => status?,
            };
            match &status {
                Some(failed) if failed.err != Value::Null => {
                    return Err(ChainError::Failed {
                        signature: *signature,
                        error: failed.err.clone(),
                    });
                }
                Some(status) if status.confirmation_status >= wanted => return Ok(status.clone()),
                _ => {}
            }
            if begin.elapsed() >= CONFIRM_LIMIT {
                return Err(ChainError::Late {
                    signature: *signature,
                    wanted,
                    seconds: CONFIRM_LIMIT.as_secs(),
                    seen: status.map_or("unknown to the node".to_owned(), |status| {
                        format!("{:?}", status.confirmation_status)
                    }),
                });
            }
            if let (None, Some(signed)) = (&status, again)
                && sent.elapsed() >= RESEND
            {
                sent = Instant::now();
                // Whether it lands is seen above, whatever the node says now.
                let _ = self.rpc.send(&signed.bytes, true).await;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
