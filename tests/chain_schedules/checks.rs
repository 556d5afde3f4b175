//! What must hold at every moment: what counts as final is final, did what is written down, and is not contradicted by
//! whoever was asked.

use std::collections::BTreeSet;

use fault_kit::Commitment;
use sqlx::PgPool;

use crate::calls::Answers;
use crate::transactions::effects;
use crate::world::{World, short};

/// What was found to be wrong.
pub type Violations = Vec<String>;

/// A payment as the books have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct Booked {
    /// The transaction.
    pub signature: String,
    /// The account.
    pub account: String,
    /// Base units.
    pub net_units: i64,
}

/// All payments that count for good.
pub async fn booked(pool: &PgPool) -> BTreeSet<Booked> {
    let rows = sqlx::query_as(
        "select signature, account, net_units from chain_payments where state = 'finalized'",
    );
    rows.fetch_all(pool).await.unwrap().into_iter().collect()
}

impl World {
    /// What is wrong with payments that a round has settled.
    pub fn judge(&self, settled: &BTreeSet<Booked>, answers: &Answers) -> Violations {
        let mut wrong = Vec::new();
        for row in settled {
            let name = short(&row.signature);
            let Some(gain) = self.final_gain(row) else {
                wrong.push(format!("{name} is settled and is not final on the chain"));
                continue;
            };
            if gain != i128::from(row.net_units) {
                wrong.push(format!(
                    "{name} is settled with {} instead of {gain}",
                    row.net_units
                ));
            }
            wrong.extend(self.judge_witnesses(row, &answers.about(&row.signature)));
        }
        wrong
    }

    /// What a transaction did to an account, if it is final on the chain.
    fn final_gain(&self, row: &Booked) -> Option<i128> {
        self.gain_told(&self.truth, row)
            .and_then(|(is_final, gain)| is_final.then_some(gain))
    }

    /// What a node says now: whether it is final, and what the account gained by it.
    fn gain_told(&self, node: &fault_kit::FakeNode, row: &Booked) -> Option<(bool, i128)> {
        let signature = row.signature.parse().ok()?;
        let (_, level, transaction) = node.says(&signature)?;
        let at = self
            .accounts
            .iter()
            .position(|account| account.key.to_string() == row.account)?;
        let gain = match transaction.err {
            None => effects(&transaction, &self.accounts)[at].gain,
            Some(_) => 0,
        };
        Some((level == Commitment::Finalized, gain))
    }

    /// Enough of those who were asked say the same, and nobody says otherwise.
    fn judge_witnesses(&self, row: &Booked, asked: &[usize]) -> Violations {
        let mut wrong = Vec::new();
        let mut agree = 0;
        for node in asked {
            match self.gain_told(&self.hands[*node].node, row) {
                Some((true, gain)) if gain == i128::from(row.net_units) => agree += 1,
                Some((true, gain)) => wrong.push(format!(
                    "{} is settled with {} though node {} says {gain}",
                    short(&row.signature),
                    row.net_units,
                    node + 1
                )),
                _ => {}
            }
        }
        let needed = if self.is_hasty {
            1
        } else {
            2.min(self.hands.len())
        };
        if agree < needed {
            wrong.push(format!(
                "{} is settled by the word of {agree} of {} nodes",
                short(&row.signature),
                self.hands.len()
            ));
        }
        wrong
    }
}
