//! Every row of the error table of pay-from-balance (contract §4.6), in its order, and nothing changed.

use sqlx::PgPool;
use stack::{Console, Deployment};

use crate::support::{
    Caller, IMPOSSIBLE_IDS, NEVER_MS, STARTER, assert_refused, assert_unchanged_by, backdate,
    books, finish, invoice, send, start, starter, topup, user, user_with,
};

/// A user, an invoice, and the status and error of paying it.
struct Row<'a>(&'a str, &'a Console, String, u16, &'a str);

/// The debit of an invoice that stays unpaid: what a parallel settlement leaves for a moment.
async fn plant_debit(pool: &PgPool, id: &str) {
    sqlx::query(
        "insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                                user_balance_after, at)
         values ('user:00000000-0000-0000-0000-000000000000', 'revenue', 49000000, 'invoice_debit', $1,
                 '00000000-0000-0000-0000-000000000000', 0, now())",
    )
    .bind(id)
    .execute(pool)
    .await
    .expect("the superuser may");
}

async fn remove_planted_debits(pool: &PgPool) {
    sqlx::raw_sql(
        "begin; set local session_replication_role = replica;
         delete from transfers where user_id = '00000000-0000-0000-0000-000000000000'; commit",
    )
    .execute(pool)
    .await
    .expect("the superuser may");
}

async fn swept(pool: &PgPool, id: &str) {
    backdate(pool, id).await;
    sqlx::query("update invoices set status = 'expired', version = 2 where id = $1")
        .bind(id)
        .execute(pool)
        .await
        .expect("the superuser may");
}

async fn cancelled(console: &Console, body: &serde_json::Value) -> String {
    let id = invoice(console, body).await;
    assert_eq!(console.cancel(&id).await.expect("an answer").status, 204);
    id
}

/// Invoices of one user with enough money.
async fn rows_of<'a>(rich: &'a Console, pool: &PgPool) -> Vec<Row<'a>> {
    let one = async || invoice(rich, &starter()).await;
    let (unswept, expired, debited) = (one().await, one().await, one().await);
    backdate(pool, &unswept).await;
    swept(pool, &expired).await;
    plant_debit(pool, &debited).await;
    let refused = "invoice_not_pending";
    vec![
        Row("past its expiry, not swept", rich, unswept, 409, refused),
        Row("expired", rich, expired, 409, refused),
        Row(
            "cancelled",
            rich,
            cancelled(rich, &starter()).await,
            409,
            refused,
        ),
        Row(
            "a cancelled top-up",
            rich,
            cancelled(rich, &topup(5)).await,
            409,
            refused,
        ),
        Row(
            "a top-up",
            rich,
            invoice(rich, &topup(5)).await,
            409,
            "invoice_is_topup",
        ),
        Row("debited before", rich, debited, 409, "already_debited"),
    ]
}

/// Somebody else's invoices, whatever became of them.
async fn foreign_rows<'a>(caller: &'a Console, owner: &Console, pool: &PgPool) -> Vec<Row<'a>> {
    let paid = invoice(owner, &starter()).await;
    assert_eq!(owner.pay(&paid).await.expect("an answer").status, 200);
    let expired = invoice(owner, &starter()).await;
    backdate(pool, &expired).await;
    let ids = [
        ("another's pending", invoice(owner, &starter()).await),
        ("another's paid", paid),
        ("another's cancelled", cancelled(owner, &starter()).await),
        ("another's expired", expired),
        ("another's top-up", invoice(owner, &topup(5)).await),
    ];
    ids.map(|(what, id)| Row(what, caller, id, 409, "not_owner"))
        .into()
}

async fn with_starter<'a>(what: &'a str, console: &'a Console, error: &'a str) -> Row<'a> {
    Row(
        what,
        console,
        invoice(console, &starter()).await,
        409,
        error,
    )
}

#[tokio::test]
async fn every_refusal_has_its_own_error_and_changes_nothing() {
    let builder = Deployment::builder().env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", NEVER_MS);
    let deployment = start(builder).await;
    let pool = deployment.pool();
    let rich = user_with(&deployment, 100 * STARTER).await;
    let owner = user_with(&deployment, STARTER).await;
    let broke = user(&deployment).await;
    let nearly = user_with(&deployment, STARTER - 1).await;
    let locked = user_with(&deployment, 100 * STARTER).await;
    let locked_and_broke = user(&deployment).await;

    let mut rows = rows_of(&rich, pool).await;
    rows.extend(foreign_rows(&rich, &owner, pool).await);
    rows.push(with_starter("no money", &broke, "insufficient_balance").await);
    rows.push(with_starter("one micro short", &nearly, "insufficient_balance").await);
    rows.push(with_starter("locked", &locked, "balance_locked").await);
    rows.push(with_starter("locked and poor", &locked_and_broke, "balance_locked").await);
    let locked_topup = invoice(&locked, &topup(5)).await;
    rows.push(Row(
        "locked, a top-up",
        &locked,
        locked_topup,
        409,
        "invoice_is_topup",
    ));
    let locked_cancelled = cancelled(&locked, &starter()).await;
    rows.push(Row(
        "locked, cancelled",
        &locked,
        locked_cancelled,
        409,
        "invoice_not_pending",
    ));
    let broke_debited = invoice(&broke, &starter()).await;
    plant_debit(pool, &broke_debited).await;
    rows.push(Row(
        "debited, poor",
        &broke,
        broke_debited,
        409,
        "insufficient_balance",
    ));
    for id in IMPOSSIBLE_IDS {
        rows.push(Row(id, &rich, id.to_owned(), 404, "invoice not found"));
    }
    for console in [&locked, &locked_and_broke] {
        let answer = deployment.operator().lock(console.user_id()).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }

    let before = books(pool).await;
    for Row(what, console, id, status, error) in &rows {
        let answer = console.pay(id).await.expect("an answer");
        assert_refused(&answer, *status, error, what);
        assert_unchanged_by(&before, &deployment, what).await;
    }
    let caller = Caller::at(deployment.api(0).url());
    for Row(what, _, id, ..) in &rows {
        let path = format!("/v1/billing/invoices/{id}/pay-from-balance");
        assert_refused(&send(caller.post(&path)).await, 401, "auth required", what);
    }
    assert_unchanged_by(&before, &deployment, "without a session").await;
    remove_planted_debits(pool).await;
    finish(deployment).await;
}

#[tokio::test]
async fn what_was_refused_can_be_paid_once_its_reason_is_gone() {
    let deployment = start(Deployment::builder()).await;
    let console = user_with(&deployment, STARTER - 1).await;
    let id = invoice(&console, &starter()).await;
    let refused = async |error| {
        let answer = console.pay(&id).await.expect("an answer");
        assert_refused(&answer, 409, error, "not yet");
    };
    let operator = deployment.operator();
    refused("insufficient_balance").await;
    operator
        .adjust(console.user_id(), 1, "the rest", "rest")
        .await
        .expect("adjusted");
    operator.lock(console.user_id()).await.expect("an answer");
    refused("balance_locked").await;
    operator.unlock(console.user_id()).await.expect("an answer");
    plant_debit(deployment.pool(), &id).await;
    refused("already_debited").await;
    remove_planted_debits(deployment.pool()).await;
    let paid = console.pay(&id).await.expect("an answer");
    assert_eq!(
        (paid.status, &paid.body["new_balance_micro"]),
        (200, &0.into())
    );
    finish(deployment).await;
}
