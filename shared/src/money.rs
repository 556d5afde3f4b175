//! Amounts. Dollars are `i64` micro-USD (1 USD = 1,000,000), tokens are `u64` base units; no float anywhere.

/// Micro-USD in one US dollar.
pub const MICRO_PER_USD: i64 = 1_000_000;

/// The largest amount a JavaScript client reads exactly (2^53 - 1), in any integer unit we send.
pub const AMOUNT_MAX: i64 = 9_007_199_254_740_991;

/// Writes `value / 10^decimals` exactly, without trailing zeros beyond `fraction_digits_min`.
///
/// `decimal(49_000_000, 6, 2)` is `49.00`; `decimal(1_234_500, 6, 2)` is `1.2345`.
#[must_use]
pub fn decimal(value: u64, decimals: u8, fraction_digits_min: usize) -> String {
    let digits = format!("{value:0>width$}", width = usize::from(decimals) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
    let significant = fraction
        .trim_end_matches('0')
        .len()
        .max(fraction_digits_min);
    let fraction = format!("{fraction:0<significant$}");
    match fraction.get(..significant) {
        Some(fraction) if !fraction.is_empty() => format!("{whole}.{fraction}"),
        _ => whole.to_owned(),
    }
}

/// The `amount_usd` text of the console contract: decimal dollars with at least two digits.
#[must_use]
pub fn usd(amount_micro: i64) -> String {
    let sign = if amount_micro < 0 { "-" } else { "" };
    format!("{sign}{}", decimal(amount_micro.unsigned_abs(), 6, 2))
}

/// Base units of a token that buy `amount_micro` at `micro_per_token`, rounded up so that the price is met.
/// `None` when it does not fit.
#[must_use]
pub fn base_units_for(amount_micro: i64, micro_per_token: i64, decimals: u8) -> Option<u64> {
    let price = u128::try_from(micro_per_token)
        .ok()
        .filter(|price| *price > 0)?;
    let amount = u128::try_from(amount_micro).ok()?;
    let scaled = amount.checked_mul(10_u128.checked_pow(u32::from(decimals))?)?;
    u64::try_from(scaled.div_ceil(price)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_exact() {
        let cases = [
            ((49_000_000, 6, 2), "49.00"),
            ((1_234_500, 6, 2), "1.2345"),
            ((1, 6, 2), "0.000001"),
            ((0, 6, 2), "0.00"),
            ((1_500_000_000, 9, 0), "1.5"),
            ((2_000_000_000, 9, 0), "2"),
            ((7, 0, 0), "7"),
            ((u64::MAX, 6, 2), "18446744073709.551615"),
        ];
        for ((value, decimals, least), text) in cases {
            assert_eq!(decimal(value, decimals, least), text);
        }
        assert_eq!(usd(-1_500_000), "-1.50");
    }

    #[test]
    fn base_units_round_up_and_refuse_overflow() {
        assert_eq!(base_units_for(49_000_000, 1_000_000, 6), Some(49_000_000));
        assert_eq!(base_units_for(1, 150_000_000, 9), Some(7));
        assert_eq!(base_units_for(AMOUNT_MAX, 1, 9), None);
        assert_eq!(base_units_for(1, 0, 9), None);
        assert_eq!(base_units_for(-1, 1, 9), None);
    }

    proptest! {
        #[test]
        fn base_units_buy_the_amount_and_not_one_more(
            amount in 1..=1_000_000_000_000_i64, price in 1..=1_000_000_000_000_i64
        ) {
            let units = u128::from(base_units_for(amount, price, 6).unwrap());
            let worth = |units: u128| units * u128::from(price.unsigned_abs());
            let needed = u128::from(amount.unsigned_abs()) * 1_000_000;
            prop_assert!(worth(units) >= needed);
            prop_assert!(worth(units - 1) < needed);
        }

        #[test]
        fn decimal_text_reads_back(value: u64, decimals in 0_u8..=18) {
            let text = decimal(value, decimals, 0);
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
            prop_assert_eq!(digits.parse::<u128>().unwrap(), u128::from(value));
        }
    }
}
