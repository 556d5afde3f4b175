//! Accounts that money may arrive on.

use solana_program_pack::Pack as _;
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_token_interface::state::Mint;
use sqlx::PgExecutor;

use super::{NodeError, Nodes, TOKEN_PROGRAMS};
use crate::config::BillingConfig;
use crate::invoices::Rail;

/// One account of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositAccount {
    /// Where the balance is: the wallet itself, or its token account.
    pub account: Pubkey,
    /// The rail it serves.
    pub rail: Rail,
    /// The wallet that invoices show.
    pub recipient: Pubkey,
    /// Mint and token program; none for the native coin.
    pub token: Option<(Pubkey, Pubkey)>,
}

/// Why the accounts are not known.
#[derive(Debug, thiserror::Error)]
pub enum DepositError {
    /// No node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A configured key is none.
    #[error("{0} is no public key")]
    Key(&'static str),
    /// The mint is another thing than a mint of this rail.
    #[error("{setting} names {found}; is SOLANA_RPC_URL of the same network?")]
    Mint {
        /// The variable.
        setting: &'static str,
        /// What is there instead.
        found: String,
    },
    /// Invoices of this address were created with another mint.
    #[error(
        "QUITTANCE_SOLANA_DEPOSIT_ADDRESS was used with another mint for {rail}; use a new address with the new mint"
    )]
    OtherMint {
        /// The rail.
        rail: &'static str,
    },
    /// The database failed.
    #[error("deposit accounts cannot be read")]
    Database(#[from] sqlx::Error),
    /// A row holds a value this binary does not know.
    #[error("deposit account {0} cannot be understood")]
    UnknownValue(String),
}

impl DepositError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Node(error) => !matches!(error, NodeError::Refused { .. }),
            Self::Database(error) => crate::db::is_transient(error),
            Self::Key(_) | Self::Mint { .. } | Self::OtherMint { .. } | Self::UnknownValue(_) => {
                false
            }
        }
    }
}

/// The accounts that the configuration asks for, one per Solana rail. The chain says which program each mint is of.
pub async fn deposit_accounts(
    config: &BillingConfig,
    nodes: &Nodes,
) -> Result<Vec<DepositAccount>, DepositError> {
    let recipient: Pubkey = config
        .solana_deposit_address
        .parse()
        .map_err(|_| DepositError::Key("QUITTANCE_SOLANA_DEPOSIT_ADDRESS"))?;
    let mut accounts = vec![DepositAccount {
        account: recipient,
        rail: Rail::SolNative,
        recipient,
        token: None,
    }];
    let tokens = [
        (Rail::SolSplUsdc, "QUITTANCE_USDC_MINT", &config.usdc_mint),
        (Rail::SolSplUsdt, "QUITTANCE_USDT_MINT", &config.usdt_mint),
    ];
    for (rail, setting, mint) in tokens {
        let mint: Pubkey = mint.parse().map_err(|_| DepositError::Key(setting))?;
        let program = token_program(nodes, rail, setting, &mint).await?;
        accounts.push(DepositAccount {
            account: get_associated_token_address_with_program_id(&recipient, &mint, &program),
            rail,
            recipient,
            token: Some((mint, program)),
        });
    }
    Ok(accounts)
}

/// The token program that a mint belongs to, once it is sure to be the mint of such a token.
async fn token_program(
    nodes: &Nodes,
    rail: Rail,
    setting: &'static str,
    mint: &Pubkey,
) -> Result<Pubkey, DepositError> {
    let wrong = |found: &str| DepositError::Mint {
        setting,
        found: found.to_owned(),
    };
    let account = nodes
        .account(mint)
        .await?
        .ok_or_else(|| wrong("an account that does not exist"))?;
    // Extensions of the newer program come after the base layout.
    let state = account
        .data
        .get(..Mint::LEN)
        .filter(|_| TOKEN_PROGRAMS.contains(&account.owner))
        .and_then(|base| Mint::unpack(base).ok())
        .ok_or_else(|| wrong("an account that is no mint"))?;
    if state.decimals != rail.decimals() {
        return Err(wrong(&format!("a mint of {} decimals", state.decimals)));
    }
    Ok(account.owner)
}

/// Every account that was ever one, from the database.
pub async fn known_deposit_accounts(
    executor: impl PgExecutor<'_>,
) -> Result<Vec<DepositAccount>, DepositError> {
    let rows = sqlx::query!(
        "select account, rail, recipient, mint, token_program from deposit_accounts order by account"
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let unknown = || DepositError::UnknownValue(row.account.clone());
            let key = |text: &str| text.parse::<Pubkey>().map_err(|_| unknown());
            let token = match (&row.mint, &row.token_program) {
                (Some(mint), Some(program)) => Some((key(mint)?, key(program)?)),
                _ => None,
            };
            Ok(DepositAccount {
                account: key(&row.account)?,
                rail: Rail::parse(&row.rail).ok_or_else(unknown)?,
                recipient: key(&row.recipient)?,
                token,
            })
        })
        .collect()
}
