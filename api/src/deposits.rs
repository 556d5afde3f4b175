//! Which account an invoice is to be paid to, and which rails can be paid on: accounts are the watchers', and money is
//! asked for only where a watcher looks.

use std::sync::{Mutex, PoisonError};

use shared::chain::{DepositAccount, DepositError, Due, known_deposit_accounts};
use shared::invoices::{Invoice, InvoiceError, Rail, RailRegistry, remaining_units};
use solana_pubkey::Pubkey;
use sqlx::PgPool;

/// Why it is not known what an invoice asks for.
#[derive(Debug, thiserror::Error)]
pub enum DueError {
    /// The database did not say.
    #[error(transparent)]
    Deposit(#[from] DepositError),
    /// What was paid so far cannot be read.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    /// The invoice names an account that no watcher has ever followed, or no key at all.
    #[error("the invoice cannot be paid in this deployment")]
    Unpayable,
}

/// Accounts by rail, wallet and mint. They never change once known.
pub struct Deposits {
    pool: PgPool,
    known: Mutex<Vec<DepositAccount>>,
}

impl Deposits {
    /// Knows nothing yet.
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            known: Mutex::default(),
        }
    }

    /// What an invoice still asks for on chain: nothing when its whole price has landed, though not all of it finally.
    pub async fn due(&self, rails: &RailRegistry, invoice: &Invoice) -> Result<Due, DueError> {
        let units = remaining_units(&self.pool, &invoice.id).await?;
        let target = rails.target(
            invoice.rail,
            &invoice.address,
            &invoice.reference_pubkey,
            units,
        );
        let key = |text: &str| text.parse::<Pubkey>().map_err(|_| DueError::Unpayable);
        let recipient = key(&invoice.address)?;
        let mint = target.mint.as_deref().map(key).transpose()?;
        Ok(Due {
            account: self.account(invoice.rail, recipient, mint).await?,
            units,
            reference: key(&invoice.reference_pubkey)?,
        })
    }

    async fn account(
        &self,
        rail: Rail,
        recipient: Pubkey,
        mint: Option<Pubkey>,
    ) -> Result<DepositAccount, DueError> {
        let Some(mint) = mint else {
            return Ok(DepositAccount {
                account: recipient,
                rail,
                recipient,
                token: None,
            });
        };
        let fits = |account: &&DepositAccount| {
            account.rail == rail
                && account.recipient == recipient
                && account.token.is_some_and(|(known, _)| known == mint)
        };
        if let Some(known) = self.remembered().iter().find(fits) {
            return Ok(known.clone());
        }
        let found = known_deposit_accounts(&self.pool).await?;
        let ours = found.iter().find(fits).cloned();
        *self.remembered() = found;
        ours.ok_or(DueError::Unpayable)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Vec<DepositAccount>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
