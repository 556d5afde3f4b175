//! When what nodes say is enough to act on. Pure.
//!
//! Nodes are witnesses: some lag, some fail, one may lie. Money follows what enough of them say alike and none that must
//! know contradicts. An error is no testimony, and that something is not shown proves nothing by itself.

/// A node that is so much further than a transaction must know it; one that is less behind than this soon will.
pub const LAG_SLOTS: u64 = 32;
/// A blockhash lives so many slots at most: what is not there so long after its slot cannot come back.
pub const GONE_SLOTS: u64 = 150;

/// What one node says about a transaction that should be final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Testimony<E> {
    /// It is final there, and this is what it did.
    Shows(E),
    /// It does not show it as final, and this is what it says of itself and of the transaction.
    Lacks(Standing),
    /// It said nothing that can be used.
    Silent,
}

/// How far a node is, and how it sees a transaction that it does not show as final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its final slot, read before the rest.
    pub finalized: u64,
    /// Whether it knows the transaction at all.
    pub sight: Sight,
}

/// What a node knows of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Nothing.
    Unknown,
    /// It has seen it, not final.
    Seen,
    /// It calls it final, and will show it.
    Final,
}

/// What all testimonies together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement<'a, E> {
    /// It is final, and did this.
    Final(&'a E),
    /// Every node answered, and none has a trace of it where it must have been.
    Absent,
    /// Somebody knows it, and it is not final.
    Open,
    /// Too little was said.
    Unheard,
    /// Nodes that must know contradict each other.
    Disputed,
}

/// Judges a transaction that was seen in `slot`. `configured` are all testimonies, one for each node of the configuration
/// in its order; `needed` how many must show the same effect.
#[must_use]
pub fn judge<E: Alike>(testimonies: &[Testimony<E>], slot: u64, needed: usize) -> Judgement<'_, E> {
    let mut shown = testimonies.iter().filter_map(|testimony| match testimony {
        Testimony::Shows(effect) => Some(effect),
        Testimony::Lacks(_) | Testimony::Silent => None,
    });
    let lacking = || {
        testimonies.iter().filter_map(|testimony| match testimony {
            Testimony::Lacks(standing) => Some(standing),
            Testimony::Shows(_) | Testimony::Silent => None,
        })
    };
    let Some(first) = shown.next() else {
        return judge_unshown(testimonies, &lacking(), slot, needed);
    };
    let (mut alike, mut differ) = (1, false);
    for effect in shown {
        if first.is_alike(effect) {
            alike += 1;
        } else {
            differ = true;
        }
    }
    let landed = first.slot();
    let contradicts = |standing: &Standing| {
        standing.sight != Sight::Final && standing.finalized >= landed.saturating_add(LAG_SLOTS)
    };
    if differ || lacking().any(contradicts) {
        return Judgement::Disputed;
    }
    // It has come so far, or soon will: its word is waited for.
    let soon = |standing: &Standing| standing.finalized.saturating_add(LAG_SLOTS) >= landed;
    if alike < needed || lacking().any(soon) {
        return Judgement::Open;
    }
    Judgement::Final(first)
}

fn judge_unshown<'a, E: Alike>(
    testimonies: &'a [Testimony<E>],
    lacking: &(impl Iterator<Item = &'a Standing> + Clone),
    slot: u64,
    needed: usize,
) -> Judgement<'a, E> {
    if lacking
        .clone()
        .any(|standing| standing.sight != Sight::Unknown)
    {
        return Judgement::Open;
    }
    let have_all_answered = lacking.clone().count() == testimonies.len();
    let is_far = |standing: &Standing| standing.finalized > slot.saturating_add(GONE_SLOTS);
    let front = reached_by(needed, lacking.clone().map(|standing| standing.finalized));
    // One that stands still has answered, too: it will never have come so far.
    let is_stale =
        |standing: &Standing| Some(standing.finalized.saturating_add(GONE_SLOTS)) < front;
    let far = lacking.clone().filter(|standing| is_far(standing)).count();
    let have_all = lacking
        .clone()
        .all(|standing| is_far(standing) || is_stale(standing));
    if have_all_answered && far >= needed && have_all {
        Judgement::Absent
    } else if testimonies
        .iter()
        .all(|testimony| matches!(testimony, Testimony::Silent))
    {
        Judgement::Unheard
    } else {
        Judgement::Open
    }
}

/// Effects that can be held against each other.
pub trait Alike {
    /// Whether both say the same as far as money is concerned.
    fn is_alike(&self, other: &Self) -> bool;
    /// The slot of the transaction.
    fn slot(&self) -> u64;
}

/// How far enough nodes are: the greatest number that `needed` of them have reached; `None` when fewer said anything.
#[must_use]
pub fn reached_by(needed: usize, told: impl IntoIterator<Item = u64>) -> Option<u64> {
    let mut told: Vec<u64> = told.into_iter().collect();
    told.sort_unstable_by(|one, other| other.cmp(one));
    told.get(needed.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Effect(u64, &'static str);

    impl Alike for Effect {
        fn is_alike(&self, other: &Self) -> bool {
            self == other
        }

        fn slot(&self) -> u64 {
            self.0
        }
    }

    const SLOT: u64 = 1_000;

    fn shows(what: &'static str) -> Testimony<Effect> {
        Testimony::Shows(Effect(SLOT, what))
    }

    fn lacks(finalized: u64, sight: Sight) -> Testimony<Effect> {
        Testimony::Lacks(Standing { finalized, sight })
    }

    /// What it is, what nodes say, how many must say the same, and what that comes to.
    type Case<'a> = (
        &'static str,
        Vec<Testimony<Effect>>,
        usize,
        Judgement<'a, Effect>,
    );

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn money_follows_what_enough_nodes_say_alike_and_none_contradicts() {
        use Judgement::{Absent, Disputed, Open, Unheard};
        use Sight::{Final, Seen, Unknown};
        use Testimony::Silent;
        let paid = Effect(SLOT, "paid");
        let is_final = Judgement::Final(&paid);
        let near = SLOT + LAG_SLOTS - 1;
        let far = SLOT + LAG_SLOTS;
        let gone = SLOT + GONE_SLOTS + 1;
        let cases: [Case<'_>; 25] = [
            ("one node is all there is", vec![shows("paid")], 1, is_final),
            ("two alike", vec![shows("paid"), shows("paid")], 2, is_final),
            (
                "two of three, one silent",
                vec![shows("paid"), Silent, shows("paid")],
                2,
                is_final,
            ),
            ("one of two", vec![shows("paid"), Silent], 2, Open),
            ("one is enough", vec![shows("paid"), Silent], 1, is_final),
            (
                "another effect",
                vec![shows("paid"), shows("failed")],
                2,
                Disputed,
            ),
            (
                "another effect of a third",
                vec![shows("paid"), shows("paid"), shows("more")],
                2,
                Disputed,
            ),
            (
                "another effect, one needed",
                vec![shows("paid"), shows("failed")],
                1,
                Disputed,
            ),
            (
                "one must know",
                vec![shows("paid"), shows("paid"), lacks(far, Unknown)],
                2,
                Disputed,
            ),
            (
                "one must know, and has it not final",
                vec![shows("paid"), lacks(far, Seen)],
                1,
                Disputed,
            ),
            (
                "one soon will",
                vec![shows("paid"), shows("paid"), lacks(near, Unknown)],
                2,
                Open,
            ),
            (
                "one calls it final and does not show it",
                vec![shows("paid"), lacks(gone, Final)],
                1,
                Open,
            ),
            (
                "one is nearly there",
                vec![shows("paid"), lacks(SLOT - LAG_SLOTS, Unknown)],
                1,
                Open,
            ),
            (
                "one is far behind",
                vec![shows("paid"), lacks(SLOT - LAG_SLOTS - 1, Unknown)],
                1,
                is_final,
            ),
            (
                "one is far behind, both needed",
                vec![shows("paid"), lacks(0, Unknown)],
                2,
                Open,
            ),
            ("nobody answers", vec![Silent, Silent], 2, Unheard),
            (
                "nobody has it, soon",
                vec![lacks(SLOT, Unknown); 2],
                2,
                Open,
            ),
            (
                "somebody has it",
                vec![lacks(gone, Unknown), lacks(gone, Seen)],
                2,
                Open,
            ),
            (
                "all are far, and have no trace",
                vec![lacks(gone, Unknown); 2],
                2,
                Absent,
            ),
            (
                "one is not so far",
                vec![lacks(gone, Unknown), lacks(gone - 1, Unknown)],
                2,
                Open,
            ),
            (
                "one is stale",
                vec![lacks(gone, Unknown), lacks(1, Unknown)],
                2,
                Open,
            ),
            (
                "two of three are far, one stands still",
                vec![
                    lacks(gone, Unknown),
                    lacks(gone, Unknown),
                    lacks(SLOT - GONE_SLOTS, Unknown),
                ],
                2,
                Absent,
            ),
            ("one fails", vec![lacks(gone, Unknown), Silent], 2, Open),
            (
                "one fails, one is needed",
                vec![lacks(gone, Unknown), Silent],
                1,
                Open,
            ),
            (
                "the only one has no trace",
                vec![lacks(gone, Unknown)],
                1,
                Absent,
            ),
        ];
        for (what, testimonies, needed, expected) in cases {
            assert_eq!(judge(&testimonies, SLOT, needed), expected, "{what}");
        }
    }

    #[test]
    fn the_chain_is_as_far_as_enough_nodes_say() {
        let cases: [(usize, &[u64], Option<u64>); 8] = [
            (1, &[], None),
            (2, &[7], None),
            (0, &[7], Some(7)),
            (1, &[7], Some(7)),
            (1, &[7, 9], Some(9)),
            (2, &[7, 9], Some(7)),
            (2, &[7, 1_000_000, 9], Some(9)),
            (3, &[7, 9, 8], Some(7)),
        ];
        for (needed, told, expected) in cases {
            assert_eq!(
                reached_by(needed, told.iter().copied()),
                expected,
                "{needed} {told:?}"
            );
        }
    }
}
