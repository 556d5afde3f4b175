//! Rails and channels (contract §2.3), and where a payment on a rail goes.

use serde::Serialize;

use crate::config::BillingConfig;
use crate::money::{base_units_for, decimal};

/// How the customer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// Sends to the deposit address.
    CryptoOnchain,
    /// Signs a transaction that we build.
    CryptoInapp,
}

impl Channel {
    /// The channel of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::CryptoOnchain, Self::CryptoInapp]
            .into_iter()
            .find(|channel| channel.name() == name)
    }

    /// Its name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CryptoOnchain => "crypto-onchain",
            Self::CryptoInapp => "crypto-inapp",
        }
    }
}

macro_rules! rails {
    ($($rail:ident = $id:literal, $name:literal, $network:literal, $token:literal, $decimals:literal, $confirmations:literal;)*) => {
        /// A way to pay, as the contract names them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the identifiers are the contract's own")]
        pub enum Rail { $($rail),* }

        impl Rail {
            /// All rails of the contract, settleable here or not.
            pub const ALL: &[Self] = &[$(Self::$rail),*];

            /// Its name on the wire and in the database.
            #[must_use]
            pub fn id(self) -> &'static str { match self { $(Self::$rail => $id),* } }

            /// Its label.
            #[must_use]
            pub fn display_name(self) -> &'static str { match self { $(Self::$rail => $name),* } }

            /// The chain.
            #[must_use]
            pub fn network(self) -> &'static str { match self { $(Self::$rail => $network),* } }

            /// The token.
            #[must_use]
            pub fn token(self) -> &'static str { match self { $(Self::$rail => $token),* } }

            /// Decimals of the token's base unit (public facts of the chains).
            #[must_use]
            pub fn decimals(self) -> u8 { match self { $(Self::$rail => $decimals),* } }

            /// Confirmations before a payment counts.
            #[must_use]
            pub fn confirmations(self) -> u32 { match self { $(Self::$rail => $confirmations),* } }
        }
    };
}

rails! {
    SolNative = "sol-native", "SOL on Solana", "sol", "SOL", 9, 32;
    SolSplUsdc = "sol-spl-usdc", "USDC on Solana", "sol", "USDC", 6, 32;
    SolSplUsdt = "sol-spl-usdt", "USDT on Solana", "sol", "USDT", 6, 32;
    TronUsdt = "tron-usdt", "USDT on Tron", "tron", "USDT", 6, 20;
    TronUsdc = "tron-usdc", "USDC on Tron", "tron", "USDC", 6, 20;
    EthUsdt = "eth-usdt", "USDT on Ethereum", "eth", "USDT", 6, 12;
    EthUsdc = "eth-usdc", "USDC on Ethereum", "eth", "USDC", 6, 12;
    BscUsdt = "bsc-usdt", "USDT on BNB Smart Chain", "bsc", "USDT", 18, 15;
    BscUsdc = "bsc-usdc", "USDC on BNB Smart Chain", "bsc", "USDC", 18, 15;
    PolygonUsdc = "polygon-usdc", "USDC on Polygon", "polygon", "USDC", 6, 128;
    PolygonUsdt = "polygon-usdt", "USDT on Polygon", "polygon", "USDT", 6, 128;
}

impl Rail {
    /// The rail of this id.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rail| rail.id() == id)
    }

    /// The channels it can be paid through: in-app works on Solana only.
    #[must_use]
    pub fn channels(self) -> &'static [Channel] {
        match self {
            Self::SolNative | Self::SolSplUsdc | Self::SolSplUsdt => {
                &[Channel::CryptoOnchain, Channel::CryptoInapp]
            }
            _ => &[Channel::CryptoOnchain],
        }
    }

    /// Whether its token is not a dollar, so that a rate is locked at creation.
    #[must_use]
    pub fn needs_fx(self) -> bool {
        matches!(self, Self::SolNative)
    }
}

/// Where and how much to pay on chain for one invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentTarget {
    /// The mint of a token; none for the native coin.
    pub mint: Option<String>,
    /// Wallet-ready URI (Solana Pay transfer request).
    pub qr_uri: String,
}

/// The rails this deployment can settle.
#[derive(Debug, Clone)]
pub struct RailRegistry {
    deposit_address: String,
    usdc_mint: String,
    usdt_mint: String,
    sol_price_micro: Option<i64>,
}

impl RailRegistry {
    /// Reads which rails are configured.
    #[must_use]
    pub fn new(config: &BillingConfig) -> Self {
        Self {
            deposit_address: config.solana_deposit_address.clone(),
            usdc_mint: config.usdc_mint.clone(),
            usdt_mint: config.usdt_mint.clone(),
            sol_price_micro: Some(config.sol_price_micro).filter(|price| *price > 0),
        }
    }

    /// Whether payments on `rail` can be settled here.
    #[must_use]
    pub fn is_enabled(&self, rail: Rail) -> bool {
        rail.network() == "sol"
            && !self.deposit_address.is_empty()
            && (!rail.needs_fx() || self.sol_price_micro.is_some())
    }

    /// The rails to offer.
    pub fn enabled(&self) -> impl Iterator<Item = Rail> {
        Rail::ALL
            .iter()
            .copied()
            .filter(|rail| self.is_enabled(*rail))
    }

    /// The address new invoices are paid to.
    #[must_use]
    pub fn deposit_address(&self) -> &str {
        &self.deposit_address
    }

    /// The price of one whole token to lock into a new invoice, micro-USD; none for dollar tokens.
    #[must_use]
    pub fn fx_micro_per_token(&self, rail: Rail) -> Option<i64> {
        self.sol_price_micro.filter(|_| rail.needs_fx())
    }

    /// How to pay `amount_micro` to `address`; `None` when the amount does not fit the token.
    #[must_use]
    pub fn target(
        &self,
        rail: Rail,
        address: &str,
        reference: &str,
        amount_micro: i64,
        fx_micro_per_token: Option<i64>,
    ) -> Option<PaymentTarget> {
        let price = fx_micro_per_token.unwrap_or(crate::money::MICRO_PER_USD);
        let units = base_units_for(amount_micro, price, rail.decimals())?;
        let mint = match rail {
            Rail::SolSplUsdc => Some(self.usdc_mint.clone()),
            Rail::SolSplUsdt => Some(self.usdt_mint.clone()),
            _ => None,
        };
        let token = mint
            .as_ref()
            .map(|mint| format!("&spl-token={mint}"))
            .unwrap_or_default();
        let amount = decimal(units, rail.decimals(), 0);
        Some(PaymentTarget {
            qr_uri: format!("solana:{address}?amount={amount}{token}&reference={reference}"),
            mint,
        })
    }
}
