//! An invoice paid by a wallet on the chain: built by Quittance, signed by the wallet, proven by the watcher.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Watched, created_id};
use crate::chain::server::FINAL_AFTER;
use crate::chain::signing::sign_received;
use crate::chain::{Chain, ChainError, Gift};
use crate::client::console::Console;
use crate::commands::CommandError;
use crate::commands::screen::say;

/// Enough for the fee, the treasury's token account, and the invoice.
const PURSE: Gift = Gift {
    lamports: 1_000_000_000,
    usdc: 50_000_000,
    usdt: 0,
};
/// A validator that is not ours takes some 15 s to finality.
const FINALITY_LIMIT: Duration = Duration::from_secs(90);
/// How often the user sees that something goes on.
const PROGRESS: Duration = Duration::from_secs(5);

/// Pays an invoice in USDC before the user's eyes.
pub(super) async fn pay(chain: &Chain, console: &Console) -> Result<(), CommandError> {
    say("\nProof: one invoice, paid in USDC on the chain, seen live");
    let wallet = chain.wallet(PURSE).await?;
    let body = json!({
        "channel": "crypto-inapp",
        "rail": "sol-spl-usdc",
        "bill_action": { "type": "subscription_purchase", "plan": "starter", "months": 1 },
    });
    say(&format!("  > POST /v1/billing/invoices\n    {body}"));
    let id = created_id(console.create_invoice(&body).await?)?;
    let mut stream = Watched::new("invoice", console.invoice_stream(&id).await?);
    stream.until("snapshot").await?;

    let path = format!("/v1/billing/invoices/{id}/inapp");
    let payer = wallet.address().to_string();
    say(&format!("  > POST {path}/build {{\"payer\":\"{payer}\"}}"));
    let built = console.build_inapp_tx(&id, &payer).await?;
    let built = built.expect_status(200, "inapp/build")?;
    let valid_until = &built.body["blockhash_valid_until"];
    say(&format!(
        "  < 200 {{\"transaction_b64\":…,\"blockhash_valid_until\":{valid_until},…}}"
    ));
    let unsigned = built.body["transaction_b64"].as_str().unwrap_or_default();
    let signed = sign_received(unsigned, &wallet).map_err(ChainError::from)?;
    say("    the wallet signs");
    say(&format!("  > POST {path}/submit {{\"signed_b64\":…}}"));
    let sent = Instant::now();
    let body = json!({ "signed_b64": signed.base64() });
    let submitted = console.submit_inapp_tx(&id, &body).await?;
    say(&format!("  < {} {}", submitted.status, submitted.text));
    submitted.expect_status(200, "inapp/submit")?;

    for event in ["invoice_progress", "invoice_paid"] {
        let data = until(&mut stream, event, sent).await?;
        let took = sent.elapsed().as_secs_f64();
        say(&format!(
            "  ~ invoice stream: {event} {data} (after {took:.1} s)"
        ));
        if let (Some(server), "invoice_progress") = (chain.server(), event) {
            let needed = (server.slot() * FINAL_AFTER).as_secs_f64();
            let slot = server.slot().as_millis();
            say(&format!(
                "    confirmed; final after {FINAL_AFTER} slots of {slot} ms: {needed:.0} s"
            ));
        }
    }
    Ok(())
}

/// Waits for an event, and tells now and then that it still does.
async fn until(
    stream: &mut Watched,
    event: &'static str,
    sent: Instant,
) -> Result<Value, CommandError> {
    let coming = stream.until_within(event, FINALITY_LIMIT);
    tokio::pin!(coming);
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.tick().await;
    loop {
        tokio::select! {
            data = &mut coming => return data,
            _ = ticks.tick() => {
                let took = sent.elapsed().as_secs_f64();
                say(&format!("    waiting for {event}: {took:.0} s since it was sent"));
            }
        }
    }
}
