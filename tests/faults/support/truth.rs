//! What clients were told, against what the database says.

use std::collections::{HashMap, HashSet};

use sqlx::PgPool;
use uuid::Uuid;

use super::client::{Settled, Verdict};
use super::world::{Debtor, PRICE};

/// Where an invoice stands, and how often it was debited.
pub type Standing = (String, i64);

/// Where each of these invoices stands now.
pub async fn standings(pool: &PgPool, invoices: &[String]) -> HashMap<String, Standing> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "select i.id, effective_status(i, clock_timestamp()),
                (select count(*) from transfers t where t.ref_invoice_id = i.id and t.kind = 'invoice_debit')
         from invoices i where i.id = any ($1)",
    )
    .bind(invoices)
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(id, status, debits)| (id, (status, debits)))
        .collect()
}

/// Where one invoice stands now.
pub async fn standing(pool: &PgPool, invoice: &str) -> Standing {
    let id = invoice.to_owned();
    standings(pool, std::slice::from_ref(&id))
        .await
        .remove(&id)
        .unwrap()
}

/// A user's balance.
pub async fn balance(pool: &PgPool, user: Uuid) -> i64 {
    sqlx::query_scalar("select amount_micro from balances where user_id = $1")
        .bind(user)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Every balance a user ever had.
async fn balances_ever(pool: &PgPool, user: Uuid) -> HashSet<i64> {
    let after: Vec<i64> =
        sqlx::query_scalar("select user_balance_after from transfers where user_id = $1")
            .bind(user)
            .fetch_all(pool)
            .await
            .unwrap();
    after.into_iter().collect()
}

/// Every definite answer must agree with the database: paid with one debit, or not paid with none; and nobody may
/// have been told a balance that never was.
pub async fn check(pool: &PgPool, debtors: &[Debtor], settled: &[Settled]) {
    let mut answers: HashMap<&str, Vec<&Verdict>> = HashMap::new();
    for one in settled {
        answers.entry(&one.invoice).or_default().push(&one.verdict);
    }
    for debtor in debtors {
        let standings = standings(pool, &debtor.invoices).await;
        let ever = balances_ever(pool, debtor.console.user_id()).await;
        let mut paid = 0;
        for invoice in &debtor.invoices {
            let (status, debits) = &standings[invoice];
            let is_paid = status == "paid";
            assert_eq!(
                *debits,
                i64::from(is_paid),
                "{invoice} is {status}, debited {debits} times"
            );
            paid += *debits;
            for verdict in answers.get(invoice.as_str()).into_iter().flatten() {
                agree(invoice, status, verdict);
                if let Verdict::Paid { balance_micro } = verdict {
                    assert!(
                        ever.contains(balance_micro),
                        "{invoice}: balance {balance_micro}"
                    );
                }
            }
        }
        let left = balance(pool, debtor.console.user_id()).await;
        assert_eq!(left, debtor.opening_micro - paid * PRICE);
    }
}

fn agree(invoice: &str, status: &str, verdict: &Verdict) {
    let agrees = match verdict {
        Verdict::Paid { .. } => status == "paid",
        Verdict::Refused(error) if error == "invoice_not_pending" => {
            matches!(status, "cancelled" | "expired")
        }
        Verdict::Refused(_) => status != "paid",
    };
    assert!(
        agrees,
        "{invoice} is {status}, the client was told {verdict:?}"
    );
}

/// As `check`, when every invoice had to be paid.
pub async fn check_all_paid(pool: &PgPool, debtors: &[Debtor], settled: &[Settled]) {
    for one in settled {
        assert!(one.verdict.is_paid(), "{one:?}");
    }
    let invoices = debtors
        .iter()
        .map(|debtor| debtor.invoices.len())
        .sum::<usize>();
    let told: HashSet<&str> = settled.iter().map(|one| one.invoice.as_str()).collect();
    assert_eq!(told.len(), invoices);
    check(pool, debtors, settled).await;
}
