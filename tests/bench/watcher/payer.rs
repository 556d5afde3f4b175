//! A wallet that pays bills: signs on recent blocks, sends as it is told.

use std::time::{Duration, Instant};

use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use stack::Chain;
use stack::chain::instructions::transfer_between;
use stack::chain::{Gift, LAMPORTS_PER_SOL, Signed, Version, Wallet, sign};
use tokio::sync::Mutex;

use super::bill::{AMOUNT_MICRO, Bill};
use crate::failure::BenchError;

/// A block is asked for anew after so long.
const BLOCK_AGE: Duration = Duration::from_secs(1);
/// A transaction expires 150 slots after its block, which are 7.5 s here; one that waited so long is signed again.
const SIGNED_AGE: Duration = Duration::from_secs(4);
const LAMPORTS: u64 = 1_000 * LAMPORTS_PER_SOL;

/// Pays with USDC of its own.
pub struct Payer {
    chain: Chain,
    wallet: Wallet,
    /// The accounts, worked out once.
    source: Pubkey,
    destination: Pubkey,
    block: Mutex<Option<(Hash, Instant)>>,
}

/// A payment that can be sent.
pub struct Payment {
    /// What it pays.
    pub bill: Bill,
    signed: Signed,
    signed_at: Instant,
}

impl Payment {
    /// Its signature.
    pub fn signature(&self) -> Signature {
        self.signed.signature()
    }
}

impl Payer {
    /// A wallet that can pay so many bills.
    pub async fn with_means(chain: &Chain, bills: usize) -> Result<Self, BenchError> {
        chain.open_treasury_accounts().await?;
        let bills = u64::try_from(bills).unwrap_or(u64::MAX);
        let gift = Gift {
            lamports: LAMPORTS,
            usdc: bills.saturating_mul(AMOUNT_MICRO),
            ..Gift::default()
        };
        let wallet = chain.wallet(gift).await?;
        let usdc = chain.usdc();
        Ok(Self {
            source: usdc.account_of(&wallet.address()),
            destination: usdc.account_of(&chain.deposit_address()),
            chain: chain.clone(),
            wallet,
            block: Mutex::new(None),
        })
    }

    /// Signs what pays the bill.
    pub async fn prepare(&self, bill: Bill) -> Result<Payment, BenchError> {
        let block = self.block().await?;
        let pay = transfer_between(
            self.chain.usdc(),
            &self.source,
            &self.destination,
            &self.wallet.address(),
            // A dollar's millionth is a USDC's millionth.
            AMOUNT_MICRO,
            &bill.references,
        );
        Ok(Payment {
            signed: sign(Version::Legacy, &self.wallet, &[], &[pay], block)?,
            signed_at: Instant::now(),
            bill,
        })
    }

    /// Sends a payment, signed again if it has waited for too long, and returns its signature once the node has it.
    pub async fn send(&self, payment: Payment) -> Result<Signature, BenchError> {
        let payment = if payment.signed_at.elapsed() < SIGNED_AGE {
            payment
        } else {
            self.prepare(payment.bill).await?
        };
        Ok(self.chain.rpc().send(&payment.signed.bytes, true).await?)
    }

    async fn block(&self) -> Result<Hash, BenchError> {
        let mut known = self.block.lock().await;
        if let Some((block, since)) = &*known
            && since.elapsed() < BLOCK_AGE
        {
            return Ok(*block);
        }
        let block = self.chain.rpc().latest_blockhash().await?.blockhash;
        *known = Some((block, Instant::now()));
        Ok(block)
    }
}
