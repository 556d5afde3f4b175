//! Which rails a deployment can settle, and where a payment on one goes.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::Rail;
use crate::config::Config;
use crate::money::{MICRO_PER_USD, base_units_for, decimal};

/// Where to pay on chain for one invoice.
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
    beacon: String,
    prices_sol: bool,
    expiry_wait: Duration,
}

impl RailRegistry {
    /// Reads which rails are configured.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let billing = &config.billing;
        Self {
            deposit_address: billing.solana_deposit_address.clone(),
            usdc_mint: billing.usdc_mint.clone(),
            usdt_mint: billing.usdt_mint.clone(),
            beacon: config.chain.solana_beacon_key.clone(),
            prices_sol: billing.sol_price_micro > 0
                || !billing.sol_price_feed_url.expose_secret().is_empty(),
            expiry_wait: Duration::from_millis(billing.expiry_wait_ms),
        }
    }

    /// Whether payments on `rail` can be settled here. A price feed that is away does not change this.
    #[must_use]
    pub fn is_enabled(&self, rail: Rail) -> bool {
        rail.network() == "sol"
            && !self.deposit_address.is_empty()
            && (!rail.needs_fx() || self.prices_sol)
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

    /// How long after its end an invoice on `rail` waits at most for what had landed before: nobody follows other chains.
    #[must_use]
    pub fn expiry_wait(&self, rail: Rail) -> Duration {
        match rail.network() {
            "sol" => self.expiry_wait,
            _ => Duration::ZERO,
        }
    }

    /// How to pay so many base units to `address`.
    #[must_use]
    pub fn target(&self, rail: Rail, address: &str, reference: &str, units: u64) -> PaymentTarget {
        let mint = match rail {
            Rail::SolSplUsdc => Some(self.usdc_mint.clone()),
            Rail::SolSplUsdt => Some(self.usdt_mint.clone()),
            _ => None,
        };
        let amount = decimal(units, rail.decimals(), 0);
        let mut qr_uri = format!("solana:{address}?amount={amount}");
        // Wallets put the references into the transfer in this order: the invoice's own first.
        let parameters = [
            ("spl-token", mint.as_deref().unwrap_or_default()),
            ("reference", reference),
            ("reference", &self.beacon),
        ];
        for (name, value) in parameters {
            if !value.is_empty() {
                qr_uri.extend(["&", name, "=", value]);
            }
        }
        PaymentTarget { mint, qr_uri }
    }
}

/// The base units that pay `amount_micro`; `None` when that does not fit the token, or the database.
#[must_use]
pub fn units_due(rail: Rail, amount_micro: i64, fx_micro_per_token: Option<i64>) -> Option<u64> {
    let price = fx_micro_per_token.unwrap_or(MICRO_PER_USD);
    base_units_for(amount_micro, price, rail.decimals())
        .filter(|units| i64::try_from(*units).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Process;
    use crate::money::AMOUNT_MAX;

    const WALLET: &str = "9Zb9ZKvbNfUqk6Nq3vYyGtaR5wQxNZpkmbFZ4cqmSfVd";
    const BEACON: &str = "So11111111111111111111111111111111111111112";
    const FEED: (&str, &str) = ("QUITTANCE_SOL_PRICE_FEED_URL", "https://prices.test");
    const PRICE: (&str, &str) = ("QUITTANCE_SOL_PRICE_MICRO", "150000000");

    fn registry(extra: &[(&str, &str)]) -> RailRegistry {
        let base = [
            ("DATABASE_URL", "postgres://q"),
            ("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", WALLET),
        ];
        let all = base.iter().chain(extra);
        let variables = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        RailRegistry::new(&Config::from_variables(Process::Command, variables).unwrap())
    }

    /// A transfer request, read as the specification of Solana Pay tells wallets to.
    struct Request {
        recipient: String,
        amount: String,
        spl_token: Option<String>,
        references: Vec<String>,
    }

    fn parse(uri: &str) -> Result<Request, String> {
        let is_key = |text: &str| bs58::decode(text).into_vec().is_ok_and(|k| k.len() == 32);
        let key = |text: &str| is_key(text).then(|| text.to_owned()).ok_or(text.to_owned());
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if uri.len() > 2048 {
            return Err("too long".to_owned());
        }
        let rest = uri.strip_prefix("solana:").ok_or("scheme")?;
        let (recipient, query) = rest.split_once('?').ok_or("query")?;
        let mut request = Request {
            recipient: key(recipient)?,
            amount: String::new(),
            spl_token: None,
            references: Vec::new(),
        };
        for pair in query.split('&') {
            match pair.split_once('=').ok_or(pair)? {
                ("amount", amount) if request.amount.is_empty() => {
                    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
                    if !digits(whole) || !digits(fraction) {
                        return Err(amount.to_owned());
                    }
                    amount.clone_into(&mut request.amount);
                }
                ("spl-token", mint) if request.spl_token.is_none() => {
                    request.spl_token = Some(key(mint)?);
                }
                ("reference", reference) => request.references.push(key(reference)?),
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(request)
    }

    #[test]
    fn a_price_or_a_feed_enables_the_native_coin() {
        let enabled = |extra| -> Vec<Rail> { registry(extra).enabled().collect() };
        let tokens = [Rail::SolSplUsdc, Rail::SolSplUsdt];
        let all = [Rail::SolNative, Rail::SolSplUsdc, Rail::SolSplUsdt];
        assert_eq!(enabled(&[]), tokens);
        assert_eq!(enabled(&[PRICE]), all);
        assert_eq!(enabled(&[FEED]), all);
        assert_eq!(enabled(&[PRICE, FEED]), all);
        assert_eq!(
            enabled(&[PRICE, ("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", "")]),
            []
        );
    }

    #[test]
    fn amounts_that_do_not_fit_cannot_be_paid() {
        let most = i64::MAX.unsigned_abs();
        let cases = [
            (Rail::SolSplUsdc, 1, None, Some(1)),
            (
                Rail::SolSplUsdc,
                AMOUNT_MAX,
                None,
                Some(AMOUNT_MAX.unsigned_abs()),
            ),
            // A billion lamports each: the last that the database can hold, and the first that only a u64 can.
            (
                Rail::SolNative,
                9_223_372_036,
                Some(1),
                Some(9_223_372_036_000_000_000),
            ),
            (Rail::SolNative, 9_223_372_037, Some(1), None),
            (Rail::SolNative, AMOUNT_MAX, Some(1), None),
            (Rail::SolNative, i64::MAX, Some(1_000_000_000), Some(most)),
        ];
        for (rail, amount, price, expected) in cases {
            let units = units_due(rail, amount, price);
            assert_eq!(units, expected, "{amount} {price:?}");
        }
    }

    proptest! {
        #[test]
        fn payment_uris_are_transfer_requests(
            amount in 1..=AMOUNT_MAX, price in 1..=10_000_000_000_i64, key: [u8; 32], beacon: bool
        ) {
            let reference = bs58::encode(key).into_string();
            let extra = if beacon { &[("QUITTANCE_SOLANA_BEACON_KEY", BEACON)][..] } else { &[] };
            let rails = registry(extra);
            for rail in [Rail::SolNative, Rail::SolSplUsdc, Rail::SolSplUsdt] {
                let price = rail.needs_fx().then_some(price);
                let Some(units) = units_due(rail, amount, price) else {
                    continue;
                };
                let target = rails.target(rail, WALLET, &reference, units);
                let request = parse(&target.qr_uri).unwrap();
                prop_assert_eq!(&request.recipient, WALLET);
                prop_assert_eq!(&request.spl_token, &target.mint);
                prop_assert_eq!(rail == Rail::SolNative, target.mint.is_none());
                let mut references = vec![reference.clone()];
                references.extend(beacon.then(|| BEACON.to_owned()));
                prop_assert_eq!(&request.references, &references);

                let (whole, fraction) = request.amount.split_once('.').unwrap_or((&request.amount, ""));
                let decimals = usize::from(rail.decimals());
                prop_assert!(fraction.len() <= decimals);
                let digits = format!("{whole}{fraction:0<decimals$}");
                prop_assert_eq!(digits.parse::<u64>().unwrap(), units);
            }
        }
    }
}
