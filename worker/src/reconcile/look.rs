//! What nodes say that an account holds, and what follows once the books say it, too.

use shared::chain::{Balance, DepositAccount, Nodes};
use time::OffsetDateTime;

/// What one node says, and what the books say of the same slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The node.
    pub node: String,
    /// Its answer.
    pub balance: Balance,
    /// When the account's history had been read that far.
    pub read_at: Option<OffsetDateTime>,
    /// The books; none while they are behind.
    pub ours: Option<i128>,
    /// There will be no books of that slot: they began later.
    pub is_void: bool,
}

impl Look {
    /// Whether the books were asked.
    pub fn is_compared(&self) -> bool {
        self.ours.is_some()
    }

    fn is_equal(&self) -> bool {
        self.ours == Some(i128::from(self.balance.units))
    }
}

/// What all nodes say together.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The books are behind.
    Open,
    /// No answer can be compared.
    Void,
    /// Every node says what the books say.
    Equal(&'a Look),
    /// None says what the books say.
    Differs(&'a Look),
    /// Some do; this one does not.
    Disputed(&'a Look),
}

/// Asks every node, one after the other; those that do not answer say nothing.
pub async fn at(nodes: &Nodes, account: &DepositAccount) -> Vec<Look> {
    let mut looks = Vec::new();
    for node in nodes.each() {
        match node.balance(account).await {
            Ok(balance) => looks.push(Look {
                node: node.label().to_owned(),
                balance,
                read_at: None,
                ours: None,
                is_void: false,
            }),
            Err(error) => {
                tracing::warn!(account = %account.account, node = node.label(), %error, "a balance cannot be read");
            }
        }
    }
    looks
}

/// Judges once every look is compared, or its time is over.
pub fn judge(looks: &[Look], is_over: bool) -> Verdict<'_> {
    let is_waiting = |look: &Look| !look.is_void && !look.is_compared();
    let compared = || looks.iter().filter(|look| look.is_compared());
    if looks.iter().all(|look| look.is_void) {
        return Verdict::Void;
    }
    if looks.iter().any(is_waiting) && !is_over {
        return Verdict::Open;
    }
    let equal = compared()
        .filter(|look| look.is_equal())
        .max_by_key(|look| look.balance.slot);
    let differing = compared().find(|look| !look.is_equal());
    match (equal, differing) {
        (None, None) => Verdict::Open,
        (Some(look), None) => Verdict::Equal(look),
        (None, Some(look)) => Verdict::Differs(look),
        (Some(_), Some(look)) => Verdict::Disputed(look),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(units: u64, ours: Option<i128>, is_void: bool) -> Look {
        Look {
            node: "node 1".to_owned(),
            balance: Balance {
                slot: 10,
                newest_slot: 12,
                units,
            },
            read_at: None,
            ours,
            is_void,
        }
    }

    #[test]
    fn every_answer_counts_and_none_is_taken_for_another() {
        let (equal, differs) = (look(5, Some(5), false), look(5, Some(-6), false));
        let (open, void) = (look(5, None, false), look(5, None, true));
        let cases = [
            (vec![], false, Verdict::Void),
            (vec![void.clone()], false, Verdict::Void),
            (vec![open.clone()], false, Verdict::Open),
            (vec![open.clone()], true, Verdict::Open),
            (vec![equal.clone(), open.clone()], false, Verdict::Open),
            (
                vec![equal.clone(), open.clone()],
                true,
                Verdict::Equal(&equal),
            ),
            (
                vec![differs.clone(), open],
                true,
                Verdict::Differs(&differs),
            ),
            (vec![void, equal.clone()], false, Verdict::Equal(&equal)),
            (
                vec![differs.clone(), differs.clone()],
                false,
                Verdict::Differs(&differs),
            ),
            (
                vec![equal.clone(), differs.clone()],
                false,
                Verdict::Disputed(&differs),
            ),
        ];
        for (looks, is_over, expected) in &cases {
            assert_eq!(judge(looks, *is_over), *expected, "{looks:?} {is_over}");
        }
    }
}
