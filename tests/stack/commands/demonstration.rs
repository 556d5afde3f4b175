//! The proof that a fresh stack works: invoices, paid from a balance and on chain, seen on live streams.

mod on_chain;

use std::time::{Duration, Instant};

use reqwest::Method;
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
const RAILS_POLL: Duration = Duration::from_millis(200);

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
    until_offered(&console).await?;
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
    pay_from_balance(&console).await?;
    on_chain::pay(&local.chain, &console).await?;
    Ok(console)
}

/// Waits until the api offers rails: once the watcher follows their accounts.
async fn until_offered(console: &Console) -> Result<(), CommandError> {
    let offered = async {
        let mut told = false;
        loop {
            let answer = console.raw(Method::GET, "/v1/billing/rails", None).await?;
            if answer.body["rails"]
                .as_array()
                .is_some_and(|rails| !rails.is_empty())
            {
                return Ok(());
            }
            if !told {
                say("rails        offered as soon as the watcher follows their accounts");
                told = true;
            }
            tokio::time::sleep(RAILS_POLL).await;
        }
    };
    let limit = tokio::time::timeout(EVENT_LIMIT, offered).await;
    limit.unwrap_or(Err(CommandError::NoRails(EVENT_LIMIT.as_secs())))
}

async fn pay_from_balance(console: &Console) -> Result<(), CommandError> {
    say("\nProof: one invoice, paid from the prepaid balance, seen live");
    let body = subscription_invoice("starter", 1);
    say(&format!("  > POST /v1/billing/invoices\n    {body}"));
    let created = console.create_invoice(&body).await?;
    let [status, usd] = ["status", "amount_usd"].map(|field| created.body[field].clone());
    let code = created.status;
    let id = created_id(created)?;
    say(&format!(
        "  < {code} {{\"id\":\"{id}\",\"status\":{status},\"amount_usd\":{usd},…}}"
    ));
    let mut invoice_stream = Watched::new("invoice", console.invoice_stream(&id).await?);
    let mut balance_stream = Watched::new("balance", console.balance_stream().await?);
    let pending = invoice_stream.until("snapshot").await?;
    say(&format!(
        "  ~ invoice stream: snapshot {{\"status\":{},…}}",
        pending["status"]
    ));
    let before = balance_stream.until("snapshot").await?;
    say(&format!("  ~ balance stream: snapshot {before}"));

    let path = format!("/v1/billing/invoices/{id}/pay-from-balance");
    say(&format!("  > POST {path}"));
    let sent = Instant::now();
    let paid = console.pay(&id).await?;
    let took = sent.elapsed().as_secs_f64() * 1_000.0;
    say(&format!("  < {} {} ({took:.1} ms)", paid.status, paid.text));
    paid.expect_status(200, &format!("POST {path}"))?;
    let settled = invoice_stream.until("invoice_paid").await?;
    say(&format!("  ~ invoice stream: invoice_paid {settled}"));
    let debited = balance_stream.until("balance_debit").await?;
    say(&format!("  ~ balance stream: balance_debit {debited}"));
    Ok(())
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

/// A live stream with its name for messages.
struct Watched {
    name: &'static str,
    frames: Frames,
}

impl Watched {
    fn new(name: &'static str, frames: Frames) -> Self {
        Self { name, frames }
    }

    /// Reads up to the event and returns its data.
    async fn until(&mut self, wanted: &'static str) -> Result<Value, CommandError> {
        self.until_within(wanted, EVENT_LIMIT).await
    }

    /// The same, for events that may take longer.
    async fn until_within(
        &mut self,
        wanted: &'static str,
        limit: Duration,
    ) -> Result<Value, CommandError> {
        loop {
            match self.frames.next_event(limit).await? {
                Some((event, data)) if event == wanted => return Ok(data),
                Some(_) => {}
                None => {
                    return Err(CommandError::StreamEnded {
                        stream: self.name,
                        event: wanted,
                    });
                }
            }
        }
    }
}

/// Tells where everything is and how to do the same by hand.
pub(super) fn explain(local: &Local, console: &Console) -> Result<(), CommandError> {
    let (api, worker, watcher) = (local.api.url(), local.worker.url(), local.watcher.url());
    let (chain, database) = (local.chain.rpc_url(), &local.database_url);
    let (faucet, usdc) = (local.faucet.url(), local.chain.usdc_mint());
    let session = local
        .dev
        .write_session(&console.tokens().session, &console.tokens().csrf)?;
    let curl = format!("curl -K '{}'", session.display());
    let invoices = format!("{api}/v1/billing/invoices");
    let body = subscription_invoice("starter", 1);
    say(&format!(
        "
Quittance is up
  API        {api}
             {api}/healthz  {api}/readyz  {api}/metrics
  worker     {worker}/healthz  {worker}/readyz  {worker}/metrics
  watcher    {watcher}/healthz  {watcher}/readyz  {watcher}/metrics
  database   {database}
  chain      {chain}  (USDC here is {usdc})
  faucet     curl -d '{{\"address\":\"…\",\"lamports\":1000000000,\"usdc\":5000000}}' {faucet}/faucet
  scripts    set -a; . .dev/env; set +a     (the URLs, the mints and the operator token)
  logs       .dev/log/*.log

Try it in another terminal, as the demo user: create an invoice, then pay it

INVOICE=$({curl} -d '{body}' {invoices} | grep -o 'inv_[0-9a-f]*' | head -n 1); echo $INVOICE

{curl} -X POST {invoices}/$INVOICE/pay-from-balance; echo

and in a third one, watch the balance move: {curl} -N {api}/v1/balance/events

Ctrl-C stops everything; the data stays in .dev/data."
    ));
    Ok(())
}
