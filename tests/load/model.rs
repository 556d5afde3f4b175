//! What the clients' own log says the ledger must be: computed without the product's code.

use std::collections::{HashMap, HashSet};

use sqlx::PgPool;
use uuid::Uuid;

use crate::support::client::Verdict;

/// What one user's clients did and were told.
#[derive(Debug, Default)]
pub struct Log {
    /// Amounts of the invoices that were created.
    pub created: HashMap<String, i64>,
    /// Definite answers to payments.
    pub payments: Vec<(String, Verdict)>,
    /// Invoices whose cancelling was confirmed.
    pub cancelled: Vec<String>,
    /// Confirmed adjustments: ledger entry, amount, and the balance told.
    pub adjusted: Vec<(i64, i64, i64)>,
}

#[derive(Debug, sqlx::FromRow)]
struct Entry {
    id: i64,
    delta_micro: i64,
    after_micro: i64,
    invoice: Option<String>,
}

async fn ledger(pool: &PgPool, user: Uuid) -> Vec<Entry> {
    sqlx::query_as(
        "select id, case when debit_account like 'user:%' then -amount_micro else amount_micro end as delta_micro,
                user_balance_after as after_micro, ref_invoice_id as invoice
         from transfers where user_id = $1 order by id",
    )
    .bind(user)
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn statuses(pool: &PgPool, user: Uuid) -> HashMap<String, String> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select id, status from invoices where user_id = $1")
            .bind(user)
            .fetch_all(pool)
            .await
            .unwrap();
    rows.into_iter().collect()
}

impl Log {
    /// Compares the log with the ledger; `balance_micro` is what the api tells last.
    pub async fn check(&self, pool: &PgPool, user: Uuid, balance_micro: i64) {
        let (ledger, statuses) = (ledger(pool, user).await, statuses(pool, user).await);
        self.check_adjustments(&ledger);
        self.check_payments(&ledger, &statuses);
        let created: HashSet<&String> = self.created.keys().collect();
        assert_eq!(
            statuses.keys().collect::<HashSet<_>>(),
            created,
            "acknowledged invoices"
        );

        let debited: i64 = self.paid().iter().map(|id| self.created[*id]).sum();
        let adjusted: i64 = self.adjusted.iter().map(|(_, delta, _)| delta).sum();
        assert_eq!(debited, adjusted - balance_micro, "opening balance 0");
        let mut running = 0;
        for entry in &ledger {
            running += entry.delta_micro;
            assert_eq!(entry.after_micro, running, "{entry:?}");
            assert!(running >= 0, "{entry:?}");
        }
        assert_eq!(running, balance_micro);
    }

    fn paid(&self) -> HashSet<&str> {
        let paid = self
            .payments
            .iter()
            .filter(|(_, verdict)| verdict.is_paid());
        paid.map(|(id, _)| id.as_str()).collect()
    }

    fn check_adjustments(&self, ledger: &[Entry]) {
        let mut told: Vec<(i64, i64, i64)> = self.adjusted.clone();
        told.sort_unstable();
        let found = ledger.iter().filter(|entry| entry.invoice.is_none());
        let found: Vec<_> = found
            .map(|entry| (entry.id, entry.delta_micro, entry.after_micro))
            .collect();
        assert_eq!(
            found, told,
            "adjustments: the ledger, and what was acknowledged"
        );
    }

    fn check_payments(&self, ledger: &[Entry], statuses: &HashMap<String, String>) {
        let debits = ledger
            .iter()
            .filter_map(|entry| Some((entry.invoice.as_deref()?, entry)));
        let debits: Vec<_> = debits.collect();
        let debited: HashSet<&str> = debits.iter().map(|(id, _)| *id).collect();
        assert_eq!(debits.len(), debited.len(), "each invoice is debited once");
        assert_eq!(
            debited,
            self.paid(),
            "invoices: debited, and acknowledged as paid"
        );
        for (id, entry) in debits {
            assert_eq!(entry.delta_micro, -self.created[id], "{id}");
        }
        let balances: HashSet<i64> = ledger.iter().map(|entry| entry.after_micro).collect();
        for (id, verdict) in &self.payments {
            let status = statuses[id].as_str();
            match verdict {
                Verdict::Paid { balance_micro } => {
                    assert_eq!(status, "paid", "{id}");
                    assert!(
                        balances.contains(balance_micro),
                        "{id} told {balance_micro}"
                    );
                }
                Verdict::Refused(error) if error == "invoice_not_pending" => {
                    assert_eq!(status, "cancelled", "{id}");
                }
                Verdict::Refused(error) => {
                    assert!(
                        matches!(error.as_str(), "insufficient_balance" | "balance_locked"),
                        "{id}: {error}"
                    );
                }
            }
        }
        let cancelled: HashSet<&str> = self.cancelled.iter().map(String::as_str).collect();
        assert_eq!(
            cancelled.len(),
            self.cancelled.len(),
            "an invoice is cancelled once"
        );
        let found = statuses.iter().filter(|(_, status)| *status == "cancelled");
        assert_eq!(
            found.map(|(id, _)| id.as_str()).collect::<HashSet<_>>(),
            cancelled
        );
    }
}
