//! A Solana chain to pay on: one of our own, or a validator that runs already.
//!
//! Everything goes through plain JSON-RPC, so that the same stack and the same tests run on the
//! local chain, on `solana-test-validator`, and on devnet.

mod confirmation;
mod details;
mod gifts;
pub mod instructions;
mod location;
mod provision;
pub mod rpc;
pub mod server;
pub mod signing;
mod treasury;
pub mod wallet;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

pub use self::details::{Details, TEST_CHAIN};
pub use self::gifts::Gift;
pub use self::instructions::Token;
pub use self::location::{Location, RPC_URL, WS_URL};
pub use self::rpc::{Commitment, Rpc};
pub use self::server::ChainServer;
pub use self::signing::{Signed, Version, sign};
pub use self::wallet::Wallet;

use self::instructions::{TOKEN_DECIMALS, create_token_account, mint_to};
use self::rpc::RpcError;
use self::server::{SLOT, ServerError};
use self::signing::SigningError;
use crate::secret::random_token;

/// One SOL in lamports.
pub const LAMPORTS_PER_SOL: u64 = 1_000_000_000;

/// Why something on the chain did not work.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Nobody answers there.
    #[error(
        "no healthy Solana node at {url}: {source}; start one there, or unset SOLANA_RPC_URL to \
         have a local chain"
    )]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What the last attempt said.
        source: Box<RpcError>,
    },
    /// The URL is not one.
    #[error("SOLANA_RPC_URL is `{0}`, but must be a URL such as http://127.0.0.1:8899")]
    NotAUrl(String),
    /// The validator gives no lamports.
    #[error(
        "the validator gave {address} no lamports ({reason}); send it at least {lamports} \
         lamports by other means, or use another validator"
    )]
    NoAirdrop {
        /// Who needs them.
        address: Pubkey,
        /// How many.
        lamports: u64,
        /// What the validator said.
        reason: String,
    },
    /// A transaction failed.
    #[error("the transaction {signature} failed: {error}")]
    Failed {
        /// Its signature.
        signature: Signature,
        /// Solana's error, as JSON.
        error: serde_json::Value,
    },
    /// A transaction did not get there in time.
    #[error("the transaction {signature} was not {wanted:?} within {seconds} s; it was {seen}")]
    Late {
        /// Its signature.
        signature: Signature,
        /// How sure the node should have been.
        wanted: Commitment,
        /// How long it was given.
        seconds: u64,
        /// What the node knew last.
        seen: String,
    },
    /// The account of a mint is taken.
    #[error("{0} should be the mint of a token, but is something else")]
    NotAMint(Pubkey),
    /// The test run's chain is described wrongly.
    #[error("{TEST_CHAIN} does not describe a chain: {0}")]
    BadDetails(String),
    /// The node.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// A transaction.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The local chain.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// A chain with money on it: an authority that has lamports and makes tokens, a mint each for USDC
/// and USDT, and a treasury that is paid. Clones share all of it.
#[derive(Clone)]
pub struct Chain {
    rpc: Rpc,
    rpc_urls: String,
    ws_url: String,
    authority: Wallet,
    usdc: Token,
    usdt: Token,
    treasury: Wallet,
    server: Option<Arc<ChainServer>>,
}

impl Chain {
    /// Starts a local chain of its own, with random keys.
    pub async fn local() -> Result<Self, ChainError> {
        Self::at(&Location::Local, &random_token(), SLOT, None).await
    }

    /// Starts or finds the chain and makes sure that everything is on it. The keys follow from the
    /// seed, so that what is there already is found again. A chain of ours has slots of this length.
    pub async fn at(
        location: &Location,
        seed: &str,
        slot: Duration,
        log: Option<&Path>,
    ) -> Result<Self, ChainError> {
        match location {
            Location::Local => {
                let server = ChainServer::start(slot, log).await?;
                let (rpc_url, ws_url) = (server.rpc_url(), server.ws_url());
                let chain = provision::provision(&rpc_url, &ws_url, seed).await?;
                Ok(Self {
                    server: Some(Arc::new(server)),
                    ..chain
                })
            }
            Location::External { rpc_url, ws_url } => {
                provision::provision(rpc_url, ws_url, seed).await
            }
        }
    }

    /// Where JSON-RPC is, as the processes' setting takes it.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        &self.rpc_urls
    }

    /// Where subscriptions are.
    #[must_use]
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// Calls to the chain's node.
    #[must_use]
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The token that stands for USDC here.
    #[must_use]
    pub fn usdc(&self) -> &Token {
        &self.usdc
    }

    /// The token that stands for USDT here.
    #[must_use]
    pub fn usdt(&self) -> &Token {
        &self.usdt
    }

    /// The mint of USDC.
    #[must_use]
    pub fn usdc_mint(&self) -> Pubkey {
        self.usdc.mint
    }

    /// The mint of USDT.
    #[must_use]
    pub fn usdt_mint(&self) -> Pubkey {
        self.usdt.mint
    }

    /// Where payments go: the treasury's address.
    #[must_use]
    pub fn deposit_address(&self) -> Pubkey {
        self.treasury.address()
    }

    /// The wallet that is paid.
    #[must_use]
    pub fn treasury(&self) -> &Wallet {
        &self.treasury
    }

    /// The wallet that has lamports and makes tokens.
    #[must_use]
    pub fn authority(&self) -> &Wallet {
        &self.authority
    }

    /// The local chain behind it; none when it is somebody else's validator, or the test run's.
    #[must_use]
    pub fn server(&self) -> Option<&ChainServer> {
        self.server.as_deref()
    }

    /// Asks the validator itself for lamports, and waits until they are confirmed.
    pub async fn airdrop(&self, address: &Pubkey, lamports: u64) -> Result<Signature, ChainError> {
        let signature = self.rpc.request_airdrop(address, lamports).await?;
        self.confirm(&signature, Commitment::Confirmed).await?;
        Ok(signature)
    }

    /// Makes tokens in the owner's account, which is created when it is missing.
    pub async fn mint_tokens(
        &self,
        token: &Token,
        owner: &Pubkey,
        amount: u64,
    ) -> Result<Signature, ChainError> {
        let authority = self.authority.address();
        let steps = [
            create_token_account(&authority, owner, token),
            mint_to(token, owner, &authority, amount),
        ];
        self.transact(&self.authority, &[], &steps).await
    }

    /// Creates the account in which the owner's wallet keeps the token, unless there is one.
    pub async fn create_token_account(
        &self,
        token: &Token,
        owner: &Pubkey,
    ) -> Result<Pubkey, ChainError> {
        let create = create_token_account(&self.authority.address(), owner, token);
        self.transact(&self.authority, &[], &[create]).await?;
        Ok(token.account_of(owner))
    }

    /// Creates a further token with 6 decimals, which the authority can make.
    pub async fn create_token(&self) -> Result<Token, ChainError> {
        let mint = Wallet::random();
        let token = Token::spl(mint.address(), TOKEN_DECIMALS);
        let authority = self.authority.address();
        let rent = self.rpc.rent_exemption(instructions::MINT_BYTES).await?;
        let steps = instructions::create_mint(&authority, &token, &authority, rent);
        self.transact(&self.authority, &[&mint], &steps).await?;
        Ok(token)
    }

    /// Signs the instructions as a transaction on a recent block, without sending it.
    pub async fn sign(
        &self,
        version: Version,
        payer: &Wallet,
        cosigners: &[&Wallet],
        instructions: &[Instruction],
    ) -> Result<Signed, ChainError> {
        let block = self.rpc.latest_blockhash().await?;
        Ok(sign(
            version,
            payer,
            cosigners,
            instructions,
            block.blockhash,
        )?)
    }
}
