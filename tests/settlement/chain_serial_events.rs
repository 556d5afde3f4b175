//! Events of a random history: no gap and no double in any stream, each telling what it must, and no money from nowhere.

use proptest::prelude::*;
use serde_json::Value;
use shared::ids::{InvoiceId, UserId};
use sqlx::PgPool;

async fn stream(pool: &PgPool, topic: String) -> Vec<Value> {
    sqlx::query_scalar("select message from outbox where topic = $1 order by batch_id, id")
        .bind(topic)
        .fetch_all(pool)
        .await
        .unwrap()
}

fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or_default()
}

/// Everything that readers were told about these users and invoices.
pub async fn check_events(
    pool: &PgPool,
    users: &[UserId],
    invoices: &[InvoiceId],
) -> Result<(), TestCaseError> {
    for user in users {
        check_balance(pool, *user).await?;
    }
    for invoice in invoices {
        check_invoice(pool, invoice).await?;
        check_worth(pool, invoice).await?;
    }
    Ok(())
}

async fn check_balance(pool: &PgPool, user: UserId) -> Result<(), TestCaseError> {
    let (mut position, mut balance) = (0, 0);
    for event in stream(pool, format!("balance:{user}")).await {
        let data = &event["data"];
        prop_assert_eq!(number(&event, "previous"), position, "{}", event);
        prop_assert!(number(&event, "position") > position, "{}", event);
        position = number(&event, "position");
        balance += number(data, "delta_micro");
        prop_assert_eq!(number(data, "new_balance"), balance, "{}", event);
        let kind = if number(data, "delta_micro") < 0 {
            "balance_debit"
        } else {
            "balance_credit"
        };
        prop_assert_eq!(
            (&event["kind"], &data["kind"]),
            (&kind.into(), &kind.into())
        );
    }
    let row: (i64, i64) =
        sqlx::query_as("select last_transfer_id, amount_micro from balances where user_id = $1")
            .bind(user.0)
            .fetch_one(pool)
            .await
            .unwrap();
    prop_assert_eq!(row, (position, balance));
    Ok(())
}

async fn check_invoice(pool: &PgPool, invoice: &InvoiceId) -> Result<(), TestCaseError> {
    let (mut position, mut received, mut status) = (1, 0, "pending".to_owned());
    for event in stream(pool, format!("invoice:{invoice}")).await {
        let data = &event["data"];
        prop_assert_eq!(status.as_str(), "pending", "after its end: {}", event);
        prop_assert_eq!(number(&event, "previous"), position, "{}", event);
        prop_assert_eq!(number(&event, "position"), position + 1, "{}", event);
        position += 1;
        prop_assert_eq!(&data["kind"], &event["kind"]);
        data["status"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut status);
        let kind = match status.as_str() {
            "pending" => "invoice_progress".to_owned(),
            ended => format!("invoice_{ended}"),
        };
        prop_assert_eq!(&event["kind"], &Value::from(kind), "{}", event);
        let now = number(data, "payments_received_micro");
        prop_assert!(
            status != "pending" || now != received,
            "nothing moved: {}",
            event
        );
        received = now;
    }
    let row: (String, i64) = sqlx::query_as("select status, version from invoices where id = $1")
        .bind(invoice.as_str())
        .fetch_one(pool)
        .await
        .unwrap();
    prop_assert_eq!(row, (status, position));
    Ok(())
}

/// Money that is final and whose invoice ended is settled or listed, once, for no more than it is worth.
async fn check_worth(pool: &PgPool, invoice: &InvoiceId) -> Result<(), TestCaseError> {
    let (waiting, settled, worth, rest, posted): (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select count(*) filter (where c.state = 'finalized' and c.settled_at is null and c.waits_for is null
                                 and i.status <> 'pending'),
                coalesce(sum(c.worth_micro), 0)::bigint
                + case when sum(c.paid_units) > 0 then i.amount_micro else 0 end,
                coalesce(sum(c.worth_micro), 0)::bigint,
                units_worth_micro(i, coalesce(sum(c.units - c.paid_units) filter (where c.settled_at is not null), 0)),
                coalesce((select sum(t.amount_micro) from transfers t where t.ref_invoice_id = i.id
                          and starts_with(t.debit_account, 'treasury:')), 0)::bigint
         from invoices i left join chain_credits c on c.invoice_id = i.id where i.id = $1 group by i.id",
    )
    .bind(invoice.as_str())
    .fetch_one(pool)
    .await
    .unwrap();
    prop_assert_eq!(waiting, 0, "{}", invoice);
    prop_assert_eq!(settled, posted, "{}", invoice);
    prop_assert!(worth <= rest, "{invoice}: {worth} of {rest}");
    Ok(())
}
