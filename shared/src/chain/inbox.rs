//! Signatures for the watcher to examine: hints from histories, subscriptions, submissions and broadcasts.

use sqlx::PgExecutor;

/// Where a signature was heard of, and so how urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// A key's history.
    History,
    /// An invoice's reference.
    Reference,
    /// A subscription.
    Subscription,
    /// A wallet handed it over.
    Submission,
    /// We broadcast it.
    Relay,
}

impl Noted {
    fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Reference => "reference",
            Self::Subscription => "subscription",
            Self::Submission => "submission",
            Self::Relay => "relay",
        }
    }

    /// Somebody waits for these; a history may be a flood of dust.
    fn priority(self) -> i16 {
        match self {
            Self::History => 0,
            Self::Reference | Self::Subscription => 1,
            Self::Submission | Self::Relay => 2,
        }
    }
}

/// Notes signatures with their slots, if known. Those that are known already are at most hurried. Returns how many
/// were news.
pub async fn note_signatures(
    executor: impl PgExecutor<'_>,
    signatures: &[(String, Option<u64>)],
    noted: Noted,
) -> Result<i32, sqlx::Error> {
    let (signatures, slots): (Vec<String>, Vec<Option<i64>>) = signatures
        .iter()
        .map(|(signature, slot)| {
            (
                signature.clone(),
                slot.and_then(|slot| i64::try_from(slot).ok()),
            )
        })
        .unzip();
    sqlx::query_scalar!(
        r#"select note_signatures($1, $2, $3, $4) as "news!""#,
        &signatures,
        &slots as &[Option<i64>],
        noted.name(),
        noted.priority()
    )
    .fetch_one(executor)
    .await
}
