//! Where a stream stands, and what that makes of the next event. Pure.

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is the next one.
    Emit,
    /// It was seen, or the snapshot counted it in.
    Drop,
    /// Others come before it: fetch them from Postgres.
    Repair,
}

/// Compares an event's place (`previous` -> `at`) with the place the stream has reached.
pub fn step(reached: i64, previous: i64, at: i64) -> Step {
    if at <= reached {
        Step::Drop
    } else if previous == reached {
        Step::Emit
    } else {
        Step::Repair
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_relation_has_its_step() {
        let cases = [
            ((5, 5, 9), Step::Emit),
            ((5, 3, 5), Step::Drop),
            ((5, 1, 3), Step::Drop),
            ((5, 7, 9), Step::Repair),
            ((5, 3, 9), Step::Repair),
            ((0, 0, 1), Step::Emit),
        ];
        for ((reached, previous, at), expected) in cases {
            assert_eq!(
                step(reached, previous, at),
                expected,
                "{reached} {previous} {at}"
            );
        }
    }

    proptest! {
        /// Whatever is lost, doubled or reordered, a reader that repairs sees every event once and in order.
        #[test]
        fn any_delivery_reads_as_the_ledger(
            gaps in proptest::collection::vec(1_i64..5, 1..20),
            arrivals in proptest::collection::vec(0_usize..20, 0..60),
        ) {
            let ids: Vec<i64> = gaps.iter().scan(0, |id, gap| { *id += gap; Some(*id) }).collect();
            let previous = |index: usize| if index == 0 { 0 } else { ids[index - 1] };
            let (mut reached, mut seen) = (0, Vec::new());
            let last = ids.len() - 1;
            for index in arrivals.into_iter().filter(|index| *index < ids.len()).chain([last]) {
                match step(reached, previous(index), ids[index]) {
                    Step::Drop => {}
                    Step::Emit => { seen.push(ids[index]); reached = ids[index]; }
                    Step::Repair => {
                        seen.extend(ids.iter().filter(|id| **id > reached && **id <= ids[index]));
                        reached = ids[index];
                    }
                }
            }
            prop_assert_eq!(seen, ids);
        }
    }
}
