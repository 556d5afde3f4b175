//! What is to be reached.

/// Which way a figure is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Not less.
    AtLeast,
    /// Not more.
    AtMost,
}

/// A figure with what it must be, and what it is meant to become.
#[derive(Debug, Clone)]
pub struct Target {
    /// What is measured.
    pub measure: &'static str,
    /// What came out.
    pub reached: f64,
    /// Which way.
    pub bound: Bound,
    /// What it must be.
    pub must: f64,
    /// What it is meant to become.
    pub aim: f64,
}

impl Target {
    fn is_met(&self, limit: f64) -> bool {
        match self.bound {
            Bound::AtLeast => self.reached >= limit,
            Bound::AtMost => self.reached <= limit,
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.is_met(self.aim), self.is_met(self.must)) {
            (true, _) => "aim reached",
            (false, true) => "reached",
            (false, false) => "missed",
        }
    }
}

/// The targets as a table.
pub fn table(targets: &[Target]) -> String {
    let mut lines = vec![
        "| measure | this run | must | aim | |".to_owned(),
        "|---|---:|---:|---:|---|".to_owned(),
    ];
    lines.extend(targets.iter().map(|target| {
        let Target {
            measure,
            reached,
            must,
            aim,
            ..
        } = target;
        let sign = match target.bound {
            Bound::AtLeast => "≥",
            Bound::AtMost => "≤",
        };
        let digits = if *reached < 1.0 { 3 } else { 2 };
        format!(
            "| {measure} | {reached:.digits$} | {sign} {must} | {sign} {aim} | {} |",
            target.verdict()
        )
    }));
    lines.join("\n")
}
