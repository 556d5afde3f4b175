//! Money for wallets, out of the authority's hands.

use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::instructions::{create_token_account, mint_to, transfer};
use super::wallet::Wallet;
use super::{Chain, ChainError};

/// How much is given, in base units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gift {
    /// Lamports.
    pub lamports: u64,
    /// Millionths of a USDC.
    pub usdc: u64,
    /// Millionths of a USDT.
    pub usdt: u64,
}

impl Chain {
    /// A new wallet that holds so much.
    pub async fn wallet(&self, gift: Gift) -> Result<Wallet, ChainError> {
        let wallet = Wallet::random();
        self.give(&wallet.address(), gift).await?;
        Ok(wallet)
    }

    /// Gives lamports and waits until they are confirmed.
    pub async fn fund(&self, address: &Pubkey, lamports: u64) -> Result<(), ChainError> {
        let gift = Gift {
            lamports,
            ..Gift::default()
        };
        self.give(address, gift).await.map(drop)
    }

    /// Gives lamports and tokens in one transaction and waits until it is confirmed. Creates token
    /// accounts where they are missing. An empty gift needs no transaction.
    pub async fn give(
        &self,
        address: &Pubkey,
        gift: Gift,
    ) -> Result<Option<Signature>, ChainError> {
        let authority = self.authority.address();
        let mut steps = Vec::new();
        if gift.lamports > 0 {
            steps.push(transfer(&authority, address, gift.lamports, &[]));
        }
        for (token, amount) in [(&self.usdc, gift.usdc), (&self.usdt, gift.usdt)] {
            if amount > 0 {
                steps.push(create_token_account(&authority, address, token));
                steps.push(mint_to(token, address, &authority, amount));
            }
        }
        if steps.is_empty() {
            return Ok(None);
        }
        self.ensure_lamports(gift.lamports).await?;
        let signature = self.transact(&self.authority, &[], &steps).await?;
        Ok(Some(signature))
    }
}
