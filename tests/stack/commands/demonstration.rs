//! The proof that a fresh stack works: an invoice, paid from a balance, seen on both live streams.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::CommandError;
use super::local::Local;
use super::screen::say;
use crate::client::ClientError;
use crate::client::answer::Answer;
use crate::client::console::{Console, subscription_invoice};
use crate::client::frames::Frames;
use crate::client::operator::Operator;
use crate::secret::random_token;

/// Below this the demo user gets more: 1,000 USD.
const BALANCE_LOW_MICRO: i64 = 1_000_000_000;
/// As much more: 10,000 USD.
const BALANCE_GIFT_MICRO: i64 = 10_000_000_000;
const EVENT_LIMIT: Duration = Duration::from_secs(20);

/// Signs the demo user in and pays an invoice before the user's eyes.
pub(super) async fn show(local: &mut Local) -> Result<Console, CommandError> {
    let operator = Operator::new(local.api.url(), &local.state.operator_token)?;
    if let Some(user) = local.state.demo_user {
        match prove(&operator, local, Some(user)).await {
            // The remembered user may be locked, full of unpaid invoices, or of another database.
            Err(CommandError::Client(ClientError::Unwanted { call, answer })) => {
                say(&format!(
                    "  the demo user cannot go on ({call}: {}), so here is a new one",
                    answer.text
                ));
            }
            outcome => return outcome,
        }
    }
    let console = prove(&operator, local, None).await?;
    local.state.demo_user = Some(console.user_id());
    local.dev.keep(&local.state)?;
    Ok(console)
}

async fn prove(
    operator: &Operator,
    local: &Local,
    user: Option<uuid::Uuid>,
) -> Result<Console, CommandError> {
    let user = match user {
        Some(user) => user,
        None => operator.create_user().await?,
    };
    let tokens = operator.create_session(user).await?;
    let console = Console::new(local.api.url(), user, tokens)?;
    let balance = console
        .balance()
        .await?
        .expect_status(200, "GET /v1/balance")?;
    if balance.body["amount_micro"].as_i64().unwrap_or_default() < BALANCE_LOW_MICRO {
        operator
            .adjust(
                user,
                BALANCE_GIFT_MICRO,
                "balance of the demo user",
                &random_token(),
            )
            .await?;
    }
    pay_one(&console).await?;
    Ok(console)
}

async fn pay_one(console: &Console) -> Result<(), CommandError> {
    say("\nProof: one invoice, paid from the prepaid balance, seen live");
    let body = subscription_invoice("starter", 1);
    say(&format!("  > POST /v1/billing/invoices\n    {body}"));
    let created = console.create_invoice(&body).await?;
    say(&format!("  < {} {}", created.status, created.text));
    let id = created_id(created)?;
    let mut invoice_stream = console.invoice_stream(&id).await?;
    let mut balance_stream = console.balance_stream().await?;
    until(&mut invoice_stream, "invoice", "snapshot").await?;
    until(&mut balance_stream, "balance", "snapshot").await?;

    let path = format!("/v1/billing/invoices/{id}/pay-from-balance");
    say(&format!("  > POST {path}"));
    let sent = Instant::now();
    let paid = console.pay(&id).await?;
    let took = sent.elapsed().as_secs_f64() * 1_000.0;
    say(&format!("  < {} {} ({took:.1} ms)", paid.status, paid.text));
    paid.expect_status(200, &format!("POST {path}"))?;
    until(&mut invoice_stream, "invoice", "invoice_paid").await?;
    until(&mut balance_stream, "balance", "balance_debit").await
}

fn created_id(answer: Answer) -> Result<String, ClientError> {
    let id = answer.body["id"].as_str().map(str::to_owned);
    if let (200 | 201, Some(id)) = (answer.status, id) {
        return Ok(id);
    }
    let call = "POST /v1/billing/invoices".to_owned();
    Err(ClientError::Unwanted {
        call,
        answer: Box::new(answer),
    })
}

/// Prints what the stream says, up to the event.
async fn until(
    frames: &mut Frames,
    stream: &'static str,
    wanted: &'static str,
) -> Result<(), CommandError> {
    loop {
        let Some((event, data)) = frames.next_event(EVENT_LIMIT).await? else {
            return Err(CommandError::StreamEnded {
                stream,
                event: wanted,
            });
        };
        say(&format!("  ~ {stream} stream: {event} {data}"));
        if event == wanted {
            return Ok(());
        }
    }
}

/// Tells where everything is and how to do the same by hand.
pub(super) fn explain(local: &Local, console: &Console) {
    let (api, worker, database) = (local.api.url(), local.worker.url(), &local.database_url);
    let [create, pay] = curl_lines(api, console, &subscription_invoice("starter", 1));
    say(&format!(
        "
Quittance is up
  API        {api}
             {api}/healthz  {api}/readyz  {api}/metrics
  worker     {worker}/healthz  {worker}/readyz  {worker}/metrics
  database   {database}
  scripts    set -a; . .dev/env; set +a     (the URLs and the operator token)
  logs       .dev/log/*.log

Try it in another terminal, as the demo user: create an invoice, then pay it

{create}

{pay}

Ctrl-C stops everything; the data stays in .dev/data."
    ));
}

fn curl_lines(api: &str, console: &Console, body: &Value) -> [String; 2] {
    let tokens = console.tokens();
    let (session, csrf) = (&tokens.session, &tokens.csrf);
    let invoices = format!("{api}/v1/billing/invoices");
    let post = format!(
        "curl -sS -X POST -b 'nl_session={session}; nl_csrf={csrf}' -H 'X-CSRF-Token: {csrf}'"
    );
    let create = format!(
        "{post} -H 'Content-Type: application/json' {invoices} -d '{body}' | tee /dev/stderr"
    );
    [
        format!("INVOICE=$({create} | grep -o 'inv_[0-9a-f]*' | head -n 1); echo"),
        format!("{post} {invoices}/$INVOICE/pay-from-balance; echo"),
    ]
}
