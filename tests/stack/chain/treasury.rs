//! Treasuries: each deployment has its own, so that none sees another one's payments.

use super::wallet::Wallet;
use super::{Chain, ChainError};

impl Chain {
    /// The same chain with a new treasury, which exists (it holds the least that an account must
    /// hold) but has no token accounts.
    pub async fn with_new_treasury(&self) -> Result<Self, ChainError> {
        let chain = Self {
            treasury: Wallet::random(),
            ..self.clone()
        };
        let lacking = chain.treasury_lacks(&chain.treasury).await?;
        chain.fund(&chain.deposit_address(), lacking).await?;
        Ok(chain)
    }

    /// Creates the treasury's token accounts for USDC and USDT.
    pub async fn open_treasury_accounts(&self) -> Result<(), ChainError> {
        let owner = self.deposit_address();
        for token in [&self.usdc, &self.usdt] {
            self.create_token_account(token, &owner).await?;
        }
        Ok(())
    }
}
