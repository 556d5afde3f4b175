//! Streams that are read while the load runs, and compared with the ledger afterwards.

use std::time::Duration;

use sqlx::PgPool;
use stack::{Console, Deployment, Frame, Frames};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::database::until_published;

/// The longest until an event must arrive; the load itself takes seconds.
const LIMIT: Duration = Duration::from_mins(1);

/// A change of a balance, as an event tells it and as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Change {
    /// The invoice; none for an adjustment.
    pub invoice: Option<String>,
    /// By how much.
    pub delta_micro: i64,
    /// The balance after it.
    pub after_micro: i64,
}

/// Reads a user's balance stream until a credit of an agreed amount.
pub struct BalanceWatch {
    user: Uuid,
    running: JoinHandle<(Frames, Vec<Change>)>,
}

/// The amounts of the credits that end a watch, and the check that nothing follows it.
const FENCES: [i64; 2] = [1, 2];

async fn read_until(mut frames: Frames, fence_micro: i64) -> (Frames, Vec<Change>) {
    let mut seen = Vec::new();
    loop {
        let (kind, data) = frames
            .next_event(LIMIT)
            .await
            .unwrap()
            .expect("the stream is open");
        let change = Change {
            invoice: data["ref_invoice_id"].as_str().map(str::to_owned),
            delta_micro: data["delta_micro"]
                .as_i64()
                .unwrap_or_else(|| panic!("{kind}: {data}")),
            after_micro: data["new_balance"].as_i64().unwrap(),
        };
        let expected = if change.delta_micro < 0 {
            "balance_debit"
        } else {
            "balance_credit"
        };
        assert_eq!(kind, expected, "{data}");
        if change.delta_micro == fence_micro {
            return (frames, seen);
        }
        seen.push(change);
    }
}

impl BalanceWatch {
    /// Opens the stream, and begins to read once the snapshot has come.
    pub async fn start(console: &Console) -> Self {
        let mut frames = console.balance_stream().await.unwrap();
        let (kind, _) = frames.next_event(LIMIT).await.unwrap().unwrap();
        assert_eq!(kind, "snapshot");
        Self {
            user: console.user_id(),
            running: tokio::spawn(read_until(frames, FENCES[0])),
        }
    }

    /// Ends the watch behind the last payment; what it saw must be the ledger: each debit once, in order.
    pub async fn end(self, deployment: &Deployment) -> Vec<Change> {
        let ledger = debits(deployment.pool(), self.user).await;
        credit(deployment, self.user, FENCES[0]).await;
        let (frames, seen) = self.running.await.unwrap();
        assert_eq!(seen, ledger);
        let falls = seen
            .windows(2)
            .all(|pair| pair[1].after_micro < pair[0].after_micro);
        assert!(falls, "a balance went back: {seen:?}");
        // What is published twice or late comes before the second fence, and must not be told.
        until_published(deployment.pool(), LIMIT).await;
        credit(deployment, self.user, FENCES[1]).await;
        let (_, repeated) = read_until(frames, FENCES[1]).await;
        assert_eq!(repeated, []);
        seen
    }
}

async fn credit(deployment: &Deployment, user: Uuid, micro: i64) {
    let operator = deployment.operator();
    operator
        .adjust(user, micro, "a fence", &format!("fence {micro}"))
        .await
        .unwrap();
}

async fn debits(pool: &PgPool, user: Uuid) -> Vec<Change> {
    sqlx::query_as(
        "select ref_invoice_id as invoice, user_delta_micro(t) as delta_micro, user_balance_after as after_micro
         from transfers t where user_id = $1 and kind = 'invoice_debit' order by id",
    )
    .bind(user)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Reads an invoice's stream to its end.
pub struct InvoiceWatch {
    invoice: String,
    running: JoinHandle<Vec<Frame>>,
}

impl InvoiceWatch {
    /// Opens the stream of a pending invoice, and begins to read once the snapshot has come.
    pub async fn start(console: &Console, invoice: &str) -> Self {
        let mut frames = console.invoice_stream(invoice).await.unwrap();
        let (kind, data) = frames.next_event(LIMIT).await.unwrap().unwrap();
        assert_eq!(
            (kind.as_str(), &data["status"]),
            ("snapshot", &"pending".into())
        );
        Self {
            invoice: invoice.to_owned(),
            running: tokio::spawn(async move { frames.collect_until_closed(LIMIT).await.unwrap() }),
        }
    }

    /// Waits until the server closed the stream: the payment must have been its only event.
    pub async fn end(self) {
        let frames = self.running.await.unwrap();
        let events: Vec<&Frame> = frames
            .iter()
            .filter(|frame| !frame.name().is_empty())
            .collect();
        assert_eq!(events.len(), 1, "{}: {events:?}", self.invoice);
        assert_eq!(events[0].name(), "invoice_paid");
        assert_eq!(events[0].data()["invoice_id"], self.invoice);
    }
}
