//! What may be concluded from the answers of several nodes, any of which may be behind, ahead, forgetful or away. Pure.

use shared::chain::reached_by;

/// For how many blocks a blockhash lives at most: wallets take fresh ones, so that is assumed of all.
const BLOCKHASH_LIFE: u64 = 150;

/// How far the chain is at most. One node fewer than must agree may be ahead of it, as long as enough others answer: a
/// node that is behind is more usual, and what is taken for over too early could still land.
pub fn at_most(heights: &[Option<u64>], agreement: usize) -> Option<u64> {
    let answers = heights.iter().flatten().count();
    let others = answers.checked_sub(agreement)?;
    let ahead = agreement.saturating_sub(1).min(others);
    reached_by(ahead + 1, heights.iter().flatten().copied())
}

/// The last height at which a transaction can land, if there is news of it: `height` is how far the chain is at most. What
/// a node that was far ahead for a moment made too great is set right; little differences stay, for nodes are behind now
/// and then.
pub fn last_valid(known: Option<u64>, height: u64) -> Option<u64> {
    let last = height.saturating_add(BLOCKHASH_LIFE);
    let is_news = known.is_none_or(|known| last.saturating_add(BLOCKHASH_LIFE) < known);
    is_news.then_some(last)
}

/// What a node whose final blocks are past the last chance of a transaction says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is in no block and in no history.
    Unknown,
    /// It is, or was, somewhere.
    Known,
    /// It did not say. That is no answer.
    Silence,
}

/// What so many words amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Enough nodes do not know it, and none does.
    Absent,
    /// Somebody knows it.
    Present,
    /// Too few said anything.
    Open,
}

/// Judges one round.
pub fn finding(words: &[Word], agreement: usize) -> Finding {
    if words.contains(&Word::Known) {
        return Finding::Present;
    }
    let unknown = words.iter().filter(|word| **word == Word::Unknown).count();
    if unknown >= agreement.max(1) {
        Finding::Absent
    } else {
        Finding::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heights as nodes tell them, how many must agree, and how far the chain is at most.
    struct Case(&'static [Option<u64>], usize, Option<u64>);

    #[test]
    fn heights_are_what_enough_nodes_say() {
        let cases = [
            Case(&[], 1, None),
            Case(&[None], 1, None),
            Case(&[Some(7)], 1, Some(7)),
            Case(&[Some(7), None], 2, None),
            Case(&[None, Some(7)], 1, Some(7)),
            // Of two nobody knows which one is right: what is taken for over too late does less harm.
            Case(&[Some(9_000), Some(997)], 2, Some(9_000)),
            Case(&[Some(997), Some(9_000)], 2, Some(9_000)),
            // Of three one may be far ahead, or far behind.
            Case(&[Some(9_000), Some(997), Some(996)], 2, Some(997)),
            Case(&[Some(998), Some(997), Some(3)], 2, Some(997)),
            Case(&[Some(998), None, Some(3)], 2, Some(998)),
            Case(&[Some(5), Some(4), Some(3), Some(2)], 2, Some(4)),
            Case(&[Some(5), Some(4), Some(3), Some(2)], 3, Some(4)),
            Case(&[Some(5), Some(4), Some(3)], 1, Some(5)),
        ];
        for Case(heights, agreement, expected) in cases {
            let most = at_most(heights, agreement);
            assert_eq!(most, expected, "{heights:?} {agreement}");
        }
    }

    #[test]
    fn a_last_height_is_set_once_and_only_lies_are_set_right() {
        let cases = [
            (None, 921, Some(1_071)),
            (Some(1_071), 921, None),
            // The chain goes on.
            (Some(1_071), 990, None),
            // All nodes are a little behind.
            (Some(1_071), 800, None),
            (Some(1_071), 771, None),
            // Somebody was far ahead.
            (Some(1_071), 770, Some(920)),
            (Some(90_000), 990, Some(1_140)),
            (None, u64::MAX, Some(u64::MAX)),
        ];
        for (known, height, expected) in cases {
            assert_eq!(last_valid(known, height), expected, "{known:?} {height}");
        }
    }

    #[test]
    fn it_is_gone_when_enough_nodes_say_so_and_none_contradicts() {
        use Word::{Known, Silence, Unknown};
        let cases: [(&[Word], usize, Finding); 11] = [
            (&[], 1, Finding::Open),
            (&[], 0, Finding::Open),
            (&[Silence], 1, Finding::Open),
            (&[Unknown], 1, Finding::Absent),
            (&[Unknown], 2, Finding::Open),
            (&[Unknown, Silence], 2, Finding::Open),
            (&[Unknown, Unknown], 2, Finding::Absent),
            (&[Unknown, Silence, Unknown], 2, Finding::Absent),
            (&[Unknown, Known, Unknown], 2, Finding::Present),
            (&[Known], 2, Finding::Present),
            (&[Silence, Known], 1, Finding::Present),
        ];
        for (words, agreement, expected) in cases {
            assert_eq!(finding(words, agreement), expected, "{words:?} {agreement}");
        }
    }
}
