//! Reads a price out of a feed's JSON, digit by digit: no float is ever made of it.

use std::collections::HashMap;

use crate::money::{AMOUNT_MAX, MICRO_PER_USD};
use serde_json::value::RawValue;

/// The longest price: enough for every digit that feeds print.
const CHARS_MAX: usize = 40;
/// Digits of a dollar's fraction that we keep.
const FRACTION_DIGITS: usize = 6;

/// Why there is no price in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The answer is something else.
    #[error("the answer is no JSON")]
    Json,
    /// Nothing is where the price should be.
    #[error("QUITTANCE_SOL_PRICE_FEED_POINTER leads nowhere in the answer")]
    Missing,
    /// What is there is no price.
    #[error("what QUITTANCE_SOL_PRICE_FEED_POINTER names is no plain decimal number")]
    Form,
}

/// The price that `pointer` (RFC 6901) names in `body`, in micro-USD. More than six decimals are rounded half up.
pub fn price_micro(body: &str, pointer: &str) -> Result<i64, ParseError> {
    let document: &RawValue = serde_json::from_str(body).map_err(|_| ParseError::Json)?;
    let found = pointer
        .split('/')
        .skip(1)
        .try_fold(document, |value, token| member(value, &unescaped(token)))
        .ok_or(ParseError::Missing)?
        .get();
    if found.starts_with('"') {
        let text: String = serde_json::from_str(found).map_err(|_| ParseError::Json)?;
        decimal_micro(&text).ok_or(ParseError::Form)
    } else {
        decimal_micro(found).ok_or(ParseError::Form)
    }
}

fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// The member of an object or the element of a list.
fn member<'a>(value: &'a RawValue, token: &str) -> Option<&'a RawValue> {
    let text = value.get();
    if text.starts_with('{') {
        let mut members: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        return members.remove(token);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    let index: usize = token.parse().ok().filter(|_| canonical)?;
    elements.get(index).copied()
}

/// `150`, `150.25`: digits, and perhaps a point with more digits; no sign, no exponent.
fn decimal_micro(text: &str) -> Option<i64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if text.len() > CHARS_MAX || !digits(whole) || !digits(fraction) {
        return None;
    }
    let (kept, dropped) = fraction.split_at(fraction.len().min(FRACTION_DIGITS));
    // The first digit that is dropped decides: half and more goes up.
    let up = i64::from(dropped.bytes().next().is_some_and(|digit| digit >= b'5'));
    let kept: i64 = format!("{kept:0<FRACTION_DIGITS$}").parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    whole
        .checked_mul(MICRO_PER_USD)?
        .checked_add(kept + up)
        .filter(|micro| *micro <= AMOUNT_MAX)
}

#[cfg(test)]
mod tests {
    use crate::money::decimal;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_read_exactly_or_not_at_all() {
        let cases = [
            ("150", Some(150_000_000)),
            ("150.25", Some(150_250_000)),
            ("0.000001", Some(1)),
            ("0", Some(0)),
            ("\"150.25\"", Some(150_250_000)),
            ("\"\\u0031.5\"", Some(1_500_000)),
            ("\"007\"", Some(7_000_000)),
            // Rounded half up at the seventh decimal, whatever comes after it.
            ("1.0000004", Some(1_000_000)),
            ("1.00000049999999999999999999999999999999", Some(1_000_000)),
            ("1.0000005", Some(1_000_001)),
            ("0.9999995", Some(1_000_000)),
            // A double would read this as 9007199254.740992.
            ("9007199254.740991", Some(AMOUNT_MAX)),
            ("9007199254.7409914", Some(AMOUNT_MAX)),
            ("9007199254.7409915", None),
            ("99999999999999999999999999999999999999", None),
            ("0.00000000000000000000000000000000000000001", None),
            ("-1", None),
            ("\"+1\"", None),
            ("1e2", None),
            ("1.5E+2", None),
            ("\"1e2\"", None),
            ("\"\"", None),
            ("\" 1\"", None),
            ("\"1.\"", None),
            ("\".5\"", None),
            ("\"1.2.3\"", None),
            ("\"1,5\"", None),
            ("\"0x10\"", None),
            ("\"\u{661}\"", None),
            ("\"NaN\"", None),
            ("null", None),
            ("true", None),
            ("[150]", None),
            ("{\"price\": 150}", None),
        ];
        for (price, expected) in cases {
            let body = format!("{{\"price\":{price}}}");
            let read = price_micro(&body, "/price");
            assert_eq!(read, expected.ok_or(ParseError::Form), "{price}");
        }
    }

    #[test]
    fn pointers_are_followed_as_their_standard_says() {
        let body = r#" {"solana": {"usd": 1, "a/b": 2, "m~n": "3", "": 4}, "list": [5, {"x": 6}], "~1": 7} "#;
        let cases = [
            ("/solana/usd", Ok(1)),
            ("/solana/a~1b", Ok(2)),
            ("/solana/m~0n", Ok(3)),
            ("/solana/", Ok(4)),
            ("/list/0", Ok(5)),
            ("/list/1/x", Ok(6)),
            ("/~01", Ok(7)),
            ("/list/2", Err(ParseError::Missing)),
            ("/list/00", Err(ParseError::Missing)),
            ("/list/+1", Err(ParseError::Missing)),
            ("/list/-", Err(ParseError::Missing)),
            ("/solana/eur", Err(ParseError::Missing)),
            ("/solana/usd/deeper", Err(ParseError::Missing)),
            ("/SOLANA/usd", Err(ParseError::Missing)),
            ("", Err(ParseError::Form)),
        ];
        for (pointer, expected) in cases {
            let expected = expected.map(|dollars: i64| dollars * MICRO_PER_USD);
            assert_eq!(price_micro(body, pointer), expected, "{pointer}");
        }
        assert_eq!(price_micro("12.5", ""), Ok(12_500_000));
        for body in [
            "",
            "price: 1",
            "{\"price\": 1",
            "{\"price\": 1} x",
            "<html>",
        ] {
            assert_eq!(price_micro(body, "/price"), Err(ParseError::Json), "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micro in 0..=AMOUNT_MAX, quoted: bool, zeros in 0_usize..8) {
            let text = decimal(micro.unsigned_abs(), 6, 6) + &"0".repeat(zeros);
            let price = if quoted { format!("\"{text}\"") } else { text };
            let body = format!("{{\"a\": [{{\"b\": {price} }}]}}");
            prop_assert_eq!(price_micro(&body, "/a/0/b"), Ok(micro));
        }

        #[test]
        fn rounding_is_off_by_half_a_micro_at_most(whole in 0..=1_000_000_u64, digits in "[0-9]{1,18}") {
            let read = price_micro(&format!("{whole}.{digits}"), "").unwrap();
            // In units of the last digit of eighteen decimals.
            let exact = u128::from(whole) * 10_u128.pow(18) + format!("{digits:0<18}").parse::<u128>().unwrap();
            let half = 10_u128.pow(12) / 2;
            let read = u128::from(read.unsigned_abs()) * 10_u128.pow(12);
            prop_assert!(read <= exact + half && exact < read + half);
        }

        #[test]
        fn nothing_makes_it_panic(body in ".{0,200}", pointer in "(/[a-z0-9~]{0,3}){0,3}") {
            let _ = price_micro(&body, &pointer);
        }
    }
}
