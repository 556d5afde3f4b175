//! What must be on a chain before anything can be paid there; made only where it is missing.

use std::time::{Duration, Instant};

use solana_pubkey::Pubkey;

use super::instructions::{MINT_BYTES, TOKEN_DECIMALS, Token, create_mint, transfer};
use super::location::first;
use super::rpc::{Rpc, RpcError};
use super::wallet::Wallet;
use super::{Chain, ChainError, LAMPORTS_PER_SOL};

const HEALTHY_LIMIT: Duration = Duration::from_secs(30);
const HEALTHY_POLL: Duration = Duration::from_millis(100);
/// What the authority asks for, first what is plenty, and less where a validator is stingy.
const AIRDROPS: [u64; 3] = [
    100_000 * LAMPORTS_PER_SOL,
    100 * LAMPORTS_PER_SOL,
    LAMPORTS_PER_SOL,
];
/// What the authority keeps for fees and for the rent of accounts.
const RESERVE: u64 = LAMPORTS_PER_SOL / 2;

/// Waits for the node, and makes sure that the seed's keys have what they need.
pub(super) async fn provision(
    rpc_urls: &str,
    ws_url: &str,
    seed: &str,
) -> Result<Chain, ChainError> {
    let rpc = Rpc::new(first(rpc_urls))?;
    until_healthy(&rpc).await?;
    let mints = ["usdc", "usdt"].map(|name| Wallet::derived(seed, name));
    let tokens = mints
        .each_ref()
        .map(|mint| Token::spl(mint.address(), TOKEN_DECIMALS));
    let chain = Chain {
        rpc,
        rpc_urls: rpc_urls.to_owned(),
        ws_url: ws_url.to_owned(),
        authority: Wallet::derived(seed, "authority"),
        usdc: tokens[0],
        usdt: tokens[1],
        treasury: Wallet::derived(seed, "treasury"),
        server: None,
    };
    chain.ensure_lamports(0).await?;
    let authority = chain.authority.address();
    let rent = chain.rpc.rent_exemption(MINT_BYTES).await?;
    let mut steps = Vec::new();
    let mut cosigners = Vec::new();
    for (token, mint) in tokens.iter().zip(&mints) {
        match chain.rpc.owner(&token.mint).await? {
            Some(owner) if owner == token.program => {}
            Some(_) => return Err(ChainError::NotAMint(token.mint)),
            None => {
                steps.extend(create_mint(&authority, token, &authority, rent));
                cosigners.push(mint);
            }
        }
    }
    let lacking = chain.treasury_lacks(&chain.treasury).await?;
    if lacking > 0 {
        let treasury = chain.treasury.address();
        steps.push(transfer(&authority, &treasury, lacking, &[]));
    }
    if !steps.is_empty() {
        chain.transact(&chain.authority, &cosigners, &steps).await?;
    }
    Ok(chain)
}

async fn until_healthy(rpc: &Rpc) -> Result<(), ChainError> {
    let begin = Instant::now();
    loop {
        match rpc.check_health().await {
            Ok(()) => return Ok(()),
            Err(error) if begin.elapsed() >= HEALTHY_LIMIT || is_hopeless(&error) => {
                return Err(ChainError::Unreachable {
                    url: rpc.url().to_owned(),
                    source: Box::new(error),
                });
            }
            Err(_) => tokio::time::sleep(HEALTHY_POLL).await,
        }
    }
}

/// Whether waiting helps not: something answers, but it is no Solana node, or nothing ever will.
fn is_hopeless(error: &RpcError) -> bool {
    match error {
        RpcError::NoAnswer { source, .. } => source.is_builder() || source.is_decode(),
        _ => matches!(error, RpcError::Shape { .. }),
    }
}

impl Chain {
    /// Makes sure that the authority can give away so much, and pay the fees for it.
    pub(super) async fn ensure_lamports(&self, lamports: u64) -> Result<(), ChainError> {
        let address = self.authority.address();
        let needed = lamports.saturating_add(RESERVE);
        let held = self.rpc.balance(&address).await?;
        if held >= needed {
            return Ok(());
        }
        let missing = needed - held;
        let mut reason = "it gives no more than 100000 SOL at once".to_owned();
        for amount in AIRDROPS.into_iter().filter(|amount| *amount >= missing) {
            match self.airdrop(&address, amount).await {
                Ok(_) => return Ok(()),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(ChainError::NoAirdrop {
            address,
            lamports: missing,
            reason,
        })
    }

    /// What a treasury lacks of the least that an account must hold.
    pub(super) async fn treasury_lacks(&self, treasury: &Wallet) -> Result<u64, ChainError> {
        let address: Pubkey = treasury.address();
        let (least, held) =
            futures::try_join!(self.rpc.rent_exemption(0), self.rpc.balance(&address))?;
        Ok(least.saturating_sub(held))
    }
}
