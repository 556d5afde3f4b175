//! What a stream is about: its snapshot, and its events as Postgres can tell them again.

use serde::Serialize;
use serde_json::value::RawValue;
use shared::events::{Message, Topic};
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::{invoices, ledger};

use crate::app::App;
use crate::http::flat::FlatError;
use crate::surfaces::console::invoice_view::InvoiceView;

/// Events fetched at once when a stream has to catch up; if more are missing, a fresh snapshot replaces them.
const CATCH_UP_MAX: i64 = 1000;

/// The subject of a stream.
#[derive(Debug, Clone)]
pub enum Subject {
    /// One invoice of a user.
    Invoice(InvoiceId, UserId),
    /// A user's balance.
    Balance(UserId),
}

/// The state now, as the first frame tells it.
pub struct Snapshot {
    /// The frame's data.
    pub data: Box<RawValue>,
    /// The position it stands for.
    pub position: i64,
    /// Whether nothing can follow.
    pub terminal: bool,
}

#[derive(Serialize)]
struct WithKind<T> {
    kind: &'static str,
    #[serde(flatten)]
    body: T,
}

impl Subject {
    /// The topic of its events.
    pub fn topic(&self) -> Topic {
        match self {
            Self::Invoice(id, _) => Topic::Invoice(id.clone()),
            Self::Balance(user) => Topic::Balance(*user),
        }
    }

    /// Its name in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Invoice(..) => "invoice",
            Self::Balance(_) => "balance",
        }
    }

    /// Reads the state now; `None` when the user has no such thing.
    pub async fn snapshot(&self, app: &App) -> Result<Option<Snapshot>, FlatError> {
        Ok(match self {
            Self::Invoice(id, user) => match invoices::find(&app.pool, id).await? {
                Some(invoice) if invoice.user_id == *user => {
                    let (position, terminal) = (invoice.version, invoice.status.is_terminal());
                    Some(Snapshot {
                        data: snapshot_data(InvoiceView::single(app, invoice).await?)?,
                        position,
                        terminal,
                    })
                }
                _ => None,
            },
            Self::Balance(user) => match ledger::balance(&app.pool, *user).await? {
                Some(balance) => {
                    let position = balance.position;
                    Some(Snapshot {
                        data: snapshot_data(balance)?,
                        position,
                        terminal: false,
                    })
                }
                None => None,
            },
        })
    }

    /// The events after one position and before another, from Postgres; `None` when there are too many to tell.
    pub async fn missed(
        &self,
        app: &App,
        after: i64,
        before: i64,
    ) -> Result<Option<Vec<Message>>, FlatError> {
        let trace = TraceId::generate();
        let texts = match self {
            // An invoice's stream needs only where it got to: older events are contained in the newest.
            Self::Invoice(id, _) => invoices::missed_event(&app.pool, id, &trace)
                .await?
                .into_iter()
                .collect(),
            Self::Balance(user) => {
                ledger::missed_events(&app.pool, *user, after, before, CATCH_UP_MAX, &trace).await?
            }
        };
        if i64::try_from(texts.len()).unwrap_or(CATCH_UP_MAX) >= CATCH_UP_MAX {
            return Ok(None);
        }
        let messages: Result<Vec<Message>, _> = texts
            .iter()
            .map(|text| serde_json::from_str(text))
            .collect();
        let messages = messages.map_err(|error| FlatError::failure(&error, false))?;
        Ok(Some(
            messages
                .into_iter()
                .filter(|message| message.position > after)
                .collect(),
        ))
    }
}

/// Whether this event ends the stream of an invoice.
pub fn is_terminal(kind: &str) -> bool {
    matches!(
        kind,
        "invoice_paid" | "invoice_cancelled" | "invoice_expired"
    )
}

fn snapshot_data<T: Serialize>(body: T) -> Result<Box<RawValue>, FlatError> {
    serde_json::value::to_raw_value(&WithKind {
        kind: "snapshot",
        body,
    })
    .map_err(|error| FlatError::failure(&error, false))
}
