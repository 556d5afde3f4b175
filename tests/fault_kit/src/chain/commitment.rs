//! How settled something is.

use std::str::FromStr;

/// The three commitments of the chain, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Commitment {
    /// In a block that the node has executed.
    Processed,
    /// In a block that a supermajority has voted for.
    Confirmed,
    /// In a block that cannot be rolled back.
    Finalized,
}

/// The name of a commitment is none of the three.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a commitment")]
pub struct CommitmentError(String);

impl Commitment {
    /// Its name in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

impl FromStr for Commitment {
    type Err = CommitmentError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "processed" => Ok(Self::Processed),
            "confirmed" => Ok(Self::Confirmed),
            "finalized" => Ok(Self::Finalized),
            other => Err(CommitmentError(other.to_owned())),
        }
    }
}
