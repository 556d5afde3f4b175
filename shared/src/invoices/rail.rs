//! Rails and channels (contract §2.3).

use serde::Serialize;

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
