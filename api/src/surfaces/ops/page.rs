//! Pages of operators' lists. A page ends with the place of its last row, from which the next one goes on: rows that
//! come and go meanwhile neither repeat nor hide others.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::App;
use crate::http::flat::FlatError;

const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 200;
const TEXT_CHARS_MAX: usize = 200;

/// What a list is asked for. A bad value is refused by its name, unlike in the console: a filter that does nothing
/// would show what nobody asked for.
pub struct ListQuery(Vec<(String, String)>);

impl FromRequestParts<App> for ListQuery {
    type Rejection = FlatError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, FlatError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|_| FlatError::bad_request("bad query"))
    }
}

impl ListQuery {
    /// The value of a name, which may be given once.
    fn value(&self, name: &str) -> Result<Option<&str>, FlatError> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let first = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return Err(bad(name));
        }
        Ok(first)
    }

    /// A value as this makes it out.
    pub fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, FlatError> {
        self.value(name)?
            .map(|value| parse(value).ok_or_else(|| bad(name)))
            .transpose()
    }

    /// A value as it is.
    pub fn text(&self, name: &str) -> Result<Option<String>, FlatError> {
        self.parsed(name, plain)
    }

    /// A time (RFC 3339).
    pub fn time(&self, name: &str) -> Result<Option<OffsetDateTime>, FlatError> {
        self.parsed(name, |value| OffsetDateTime::parse(value, &Rfc3339).ok())
    }

    /// One of some words; the first unless told.
    pub fn choice(&self, name: &str, words: &[&'static str]) -> Result<&'static str, FlatError> {
        let chosen = self.parsed(name, |value| {
            words.iter().find(|word| **word == value).copied()
        })?;
        Ok(chosen.or(words.first().copied()).unwrap_or_default())
    }

    /// How many rows, and after which place of this list.
    pub fn page<P: DeserializeOwned>(&self, list: &'static str) -> Result<Page<P>, FlatError> {
        let limit = self.parsed("limit", |value| {
            value.parse::<u64>().ok().filter(|limit| *limit > 0)
        })?;
        let limit = limit.map_or(LIMIT_DEFAULT, |limit| {
            u16::try_from(limit).unwrap_or(LIMIT_MAX).min(LIMIT_MAX)
        });
        let after = self.parsed("before", |value| read_cursor(list, value))?;
        Ok(Page { list, limit, after })
    }
}

/// A text worth searching for.
pub fn plain(value: &str) -> Option<String> {
    let is_plain =
        !value.is_empty() && value.chars().count() <= TEXT_CHARS_MAX && !value.contains('\0');
    is_plain.then(|| value.to_owned())
}

/// The answer to a value of this name that cannot be taken.
pub fn bad(name: &str) -> FlatError {
    FlatError::bad_request(format!("bad {name}"))
}

/// A page that was asked for. `P` says where a row stands in the list.
pub struct Page<P> {
    list: &'static str,
    limit: u16,
    /// The place after which it begins.
    pub after: Option<P>,
}

impl<P: Serialize> Page<P> {
    /// How many rows to read: one more than are shown, which tells whether there is a next page.
    pub fn read_limit(&self) -> i32 {
        i32::from(self.limit) + 1
    }

    /// The rows to show of those read, and where the next page goes on.
    pub fn cut<R>(&self, mut rows: Vec<R>, place: impl Fn(&R) -> P) -> (Vec<R>, Option<String>) {
        let has_more = rows.len() > usize::from(self.limit);
        rows.truncate(usize::from(self.limit));
        let last = rows.last().filter(|_| has_more);
        let next = last.and_then(|row| write_cursor(self.list, &place(row)));
        (rows, next)
    }
}

/// Says of which list a place is, so that it is not taken for one of another.
fn write_cursor<P: Serialize>(list: &str, place: &P) -> Option<String> {
    let text = serde_json::to_vec(&(list, place)).ok()?;
    Some(URL_SAFE_NO_PAD.encode(text))
}

fn read_cursor<P: DeserializeOwned>(list: &str, cursor: &str) -> Option<P> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (name, place) = serde_json::from_slice::<(String, P)>(&text).ok()?;
    (name == list).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> ListQuery {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        ListQuery(pairs.iter().map(own).collect())
    }

    #[test]
    fn limits_are_numbers_above_zero_and_bounded() {
        let limit = |value| {
            let page = query(&[("limit", value)]).page::<i64>("list");
            page.ok().map(|page| page.limit)
        };
        for (value, expected) in [
            ("1", Some(1)),
            ("200", Some(200)),
            ("201", Some(200)),
            ("99999999999", Some(200)),
            ("0", None),
            ("-1", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(limit(value), expected, "{value}");
        }
        assert_eq!(query(&[]).page::<i64>("list").unwrap().limit, 50);
        assert!(
            query(&[("limit", "1"), ("limit", "2")])
                .page::<i64>("list")
                .is_err()
        );
    }

    #[test]
    fn a_place_goes_on_in_its_own_list_only() {
        let page = query(&[("limit", "2")]).page::<(i64, i64)>("one").unwrap();
        let (rows, next) = page.cut(vec![(9, 1), (8, 2), (7, 3)], |row| *row);
        assert_eq!(rows, [(9, 1), (8, 2)]);
        let next = next.unwrap();
        let after = |list, cursor: &str| {
            let page = query(&[("before", cursor)]).page::<(i64, i64)>(list);
            page.ok().and_then(|page| page.after)
        };
        assert_eq!(after("one", &next), Some((8, 2)));
        assert_eq!(after("two", &next), None);
        for wrong in ["", "!", "AA", &next[1..], &format!("{next}A")] {
            assert_eq!(after("one", wrong), None, "{wrong}");
        }
        // Exactly a page is the last one.
        assert_eq!(page.cut(vec![(9, 1), (8, 2)], |row| *row).1, None);
    }
}
