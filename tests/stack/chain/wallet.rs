//! Keypairs: random ones, and ones that can be made again.

use std::fmt;
use std::sync::Arc;

use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::secret::{derived_bytes, random_bytes};

/// A keypair that can sign. Clones share it.
#[derive(Clone)]
pub struct Wallet(Arc<Keypair>);

impl Wallet {
    /// A wallet that nobody had before.
    #[must_use]
    pub fn random() -> Self {
        Self::of(random_bytes())
    }

    /// The wallet that follows from a secret, for a named purpose.
    #[must_use]
    pub fn derived(secret: &str, purpose: &str) -> Self {
        Self::of(derived_bytes(secret, purpose))
    }

    /// The wallet with this secret key (base58 of 64 bytes), if it is one.
    #[must_use]
    pub fn from_secret(secret: &str) -> Option<Self> {
        let keypair = Keypair::try_from_base58_string(secret).ok()?;
        Some(Self(Arc::new(keypair)))
    }

    fn of(secret: [u8; 32]) -> Self {
        Self(Arc::new(Keypair::new_from_array(secret)))
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Pubkey {
        self.0.pubkey()
    }

    /// Its secret key (base58 of 64 bytes).
    #[must_use]
    pub fn secret(&self) -> String {
        self.0.to_base58_string()
    }

    /// What signs.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.0
    }
}

/// Shows the address only.
impl fmt::Debug for Wallet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Wallet({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_comes_back_from_its_secret_and_from_its_seed() {
        let wallet = Wallet::random();
        let again = Wallet::from_secret(&wallet.secret()).expect("its own secret");
        assert_eq!(wallet.address(), again.address());
        assert!(Wallet::from_secret("nonsense").is_none());
        let derived = |purpose| Wallet::derived("seed", purpose).address();
        assert_eq!(derived("mint"), derived("mint"));
        assert_ne!(derived("mint"), derived("authority"));
        assert!(!format!("{wallet:?}").contains(&wallet.secret()));
    }
}
